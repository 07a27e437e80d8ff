"""Speaks a corpus of short words with espeak-ng and flite.

The result has the layout of the Speech Commands corpus, one folder a word and
the lists of the clips that are not for training, so that train.py takes either:

    python synthesise.py CORPUS
"""

import argparse
import random
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import audio
from words import KEYWORDS, TEST_UNKNOWN, TRAIN_UNKNOWN

SEED = 1

ACCENTS = ["en-us", "en-gb", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029",
           "en-us-nyc"]
# Heard in the test only, like the variants and the flite voice below.
TEST_ACCENTS = ["en-us", "en-gb", "en-gb-scotland"]
TEST_VARIANTS = ["f3", "f5", "m2", "m6", "klatt4", "steph", "steph2", "steph3", "Gene", "Gene2",
                 "Alicia", "Hugo", "Denis", "Michael", "victor", "grandpa"]
VALIDATION_VARIANTS = ["f2", "m5", "klatt2", "linda", "paul", "norbert", "travis", "shelby"]
# Not voices of people who want to be understood.
LEFT_OUT_VARIANTS = ["whisper", "whisperf", "fast", "Demonic"]

FLITE_VOICES = ["kal16", "awb", "slt"]
TEST_FLITE_VOICES = ["rms"]

# Takes of a word: (by espeak-ng, by flite)
TRAIN_KEYWORD = (240, 240)
TRAIN_WORD = (16, 12)
VALIDATION_KEYWORD = (20, 0)
TEST_KEYWORD = (60, 15)
TEST_WORD = (3, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    corpus = parser.parse_args().corpus

    held_out = {*TEST_VARIANTS, *VALIDATION_VARIANTS, *LEFT_OUT_VARIANTS}
    train = Voices(ACCENTS, [v for v in espeak_variants() if v not in held_out], FLITE_VOICES)
    validation = Voices(ACCENTS, VALIDATION_VARIANTS, [])
    test = Voices(TEST_ACCENTS, TEST_VARIANTS, TEST_FLITE_VOICES)

    rng = random.Random(SEED)
    takes = {
        "training": train.takes(rng, KEYWORDS, *TRAIN_KEYWORD)
        + train.takes(rng, TRAIN_UNKNOWN, *TRAIN_WORD),
        "validation": validation.takes(rng, KEYWORDS, *VALIDATION_KEYWORD),
        "testing": test.takes(rng, KEYWORDS, *TEST_KEYWORD)
        + test.takes(rng, TEST_UNKNOWN, *TEST_WORD),
    }
    with ThreadPoolExecutor() as pool:
        for part, part_takes in takes.items():
            written = list(pool.map(lambda take: speak(corpus, take), part_takes))
            names = [name for name in written if name]
            print(f"{part}: {len(names)} clips")
            if part != "training":
                (corpus / f"{part}_list.txt").write_text("\n".join(names) + "\n")


class Voices:
    def __init__(self, accents, variants, flite):
        self.accents, self.variants, self.flite = accents, variants, flite

    def takes(self, rng, words, by_espeak, by_flite):
        """Who says which word how: (file name, word, command line)."""
        takes = []
        for word in words:
            for take in range(by_espeak):
                voice = f"{rng.choice(self.accents)}+{rng.choice(self.variants)}"
                command = ["espeak-ng", "-v", voice, "-s", str(rng.randint(110, 220)),
                           "-p", str(rng.randint(15, 85)), intonate(rng, word), "-w"]
                takes.append((file_name(word, voice, take), word, command))
            for take in range(by_flite):
                voice = self.flite[take % len(self.flite)]
                command = ["flite", "-voice", voice,
                           "--setf", f"duration_stretch={rng.uniform(0.7, 1.5):.3f}",
                           "--setf", f"int_f0_target_mean={rng.randint(70, 250)}",
                           "-t", intonate(rng, word), "-o"]
                takes.append((file_name(word, voice, take), word, command))
        return takes


def espeak_variants():
    listing = subprocess.run(["espeak-ng", "--voices=variant"], check=True, text=True,
                             capture_output=True).stdout
    return sorted(re.findall(r"!v/(\S+(?: \S+)*)", listing))


def intonate(rng, word):
    """The word, said, called, or asked."""
    return word.replace("-", " ") + rng.choice(["", ".", "!", "?"])


def file_name(word, voice, take):
    """Like Speech Commands: who speaks stands before `_nohash_`."""
    return f"{word}/{re.sub(r'[^A-Za-z0-9]+', '-', voice)}_nohash_{take}.wav"


def speak(corpus, take):
    """Writes one clip. A clip longer than 950 ms is left out: None."""
    name, _, command = take
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([*command, file.name], check=True, capture_output=True)
        samples = trim(audio.read(file.name))
    if not 0.1 < len(samples) / audio.RATE < 0.95:
        return None
    path = corpus / name
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, audio.to_int16(0.7 * samples / np.abs(samples).max()))
    return name


def trim(samples):
    """Without the silence before and after the word."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    if len(loud) == 0:
        return samples[:0]
    margin = audio.RATE // 100
    return samples[max(0, loud[0] - margin) : loud[-1] + margin]


if __name__ == "__main__":
    main()
