"""Add a Hugging Face model: a tiny one that is made on the spot and knows nothing.

A folder that `save_pretrained` or `huggingface_hub.snapshot_download` has written is added in
the same way. Needs `pip install "modeld[transformers]"`. Run it in a repository of models
(`modeld init` makes one).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "film", "good"]

config = BertConfig(
    vocab_size=len(WORDS),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    id2label={0: "bad", 1: "good"},
    label2id={"bad": 0, "good": 1},
)

with tempfile.TemporaryDirectory() as folder:
    vocabulary = Path(folder) / "words.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    model = Path(folder) / "reviews"
    BertForSequenceClassification(config).save_pretrained(model)
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(model)
    subprocess.run([sys.executable, "-m", "modeld", "add", model], check=True)
