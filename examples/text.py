"""Tell good reviews from bad ones: a model that takes texts.

Run it in a repository of models (`modeld init` makes one); the version that it adds is
asked with `{"features": "a wonderful evening"}`.
"""

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from modeld import save

GOOD = ["a wonderful film", "I laughed and cried", "the best evening in years", "great music"]
BAD = ["a waste of time", "I fell asleep", "the worst seats in town", "boring music"]

texts = [*GOOD, *BAD]
labels = ["good"] * len(GOOD) + ["bad"] * len(BAD)
model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)

print(save(model, texts))
