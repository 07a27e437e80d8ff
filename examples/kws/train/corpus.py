"""Finds the clips of a corpus in the layout of Speech Commands."""

from words import KEYWORDS, LABELS

UNKNOWN = LABELS.index("unknown")
SILENCE = LABELS.index("silence")


def find(corpus):
    """part -> class -> sorted paths, for training, validation and testing.

    Every folder that is not a keyword is an unknown word. The lists name the
    clips that are not for training; who speaks in them must not be heard there.
    """
    held_out = {}
    for part in ("validation", "testing"):
        for name in (corpus / f"{part}_list.txt").read_text().split("\n"):
            held_out[name] = part
    parts = {part: {i: [] for i in range(SILENCE)} for part in ("training", "validation", "testing")}
    for folder in sorted(corpus.iterdir()):
        if not folder.is_dir() or folder.name.startswith("_"):
            continue
        word = LABELS.index(folder.name) if folder.name in KEYWORDS else UNKNOWN
        for path in sorted(folder.glob("*.wav")):
            part = held_out.get(f"{folder.name}/{path.name}", "training")
            parts[part][word].append(path)
    return parts


def background(corpus):
    """Long recordings of noise, if the corpus has them."""
    return sorted((corpus / "_background_noise_").glob("*.wav"))
