"""Write tiny Hugging Face models: two layers of 16, and a vocabulary of a few words."""

from pathlib import Path
from typing import Any

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "film", "good", "##s"]


def write_tiny(folder: Path, kind: str = "BertForSequenceClassification", **config: Any) -> Path:
    """Write a folder as `save_pretrained` does, with weights that are the same every time."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 32}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": len(WORDS)}
    torch.manual_seed(0)
    made = transformers.BertConfig(**sizes, **layers, **config)
    getattr(transformers, kind)(made).save_pretrained(folder)
    return folder
