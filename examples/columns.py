"""Estimate a rent from a table with texts, numbers and gaps: rows are objects, keyed by column.

Run it in a repository of models (`modeld init` makes one); the version that it adds is asked
with `{"features": {"area": 50, "floor": null, "district": "north"}}`.
"""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modeld import save

flats = pd.DataFrame(
    {
        "area": [35.0, 48.0, 62.0, 80.0, 41.0, 95.0, 54.0, 70.0] * 10,
        "floor": [1.0, None, 3.0, 2.0, None, 5.0, 4.0, 1.0] * 10,
        "district": ["north", "harbour", "north", "old town", "harbour", "old town"] * 13
        + ["north", "harbour"],
    }
)
rents = flats["area"] * 14 + (flats["district"] == "old town") * 200

columns = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["district"]),
    remainder="passthrough",
)
model = make_pipeline(columns, HistGradientBoostingRegressor(min_samples_leaf=5)).fit(flats, rents)

print(save(model, flats, rents))
