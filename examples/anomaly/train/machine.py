"""A machine that exists on paper only: its vibration, as an accelerometer on the bearing's housing would see it.

A shaft turns 20 to 30 times a second. What a window of its vibration is made of:

* imbalance: a sine at the shaft's rate, with the force of a rotating mass, which grows with the square of the rate;
  misalignment adds twice and thrice the rate;
* a gear of 23 teeth: their mesh at 23 times the rate and its double, the louder the higher the load, a little modulated
  by the shaft;
* rumble: noise through a resonance of the housing at 1100 Hz, and the sensor's own noise.

Faults, from slight to severe:

* a defect in the bearing's outer ring: 3.57 blows a revolution (a bearing of 9 balls with d/D = 0.2), with one or two
  percent of slip, each of which makes the housing ring at 1450 Hz for some milliseconds;
* imbalance, 2.5 to 5 times what is usual;
* a cracked tooth: the mesh is louder for a part of each revolution;
* looseness: harmonics of half the shaft's rate, up to the tenth.
"""

import numpy as np

RATE = 4000
WINDOW = 512
FAULTS = ["bearing", "imbalance", "tooth", "looseness"]
# Counts of the sensor for 1 g.
COUNTS = 2048


def window(rng, fault=None):
    """A window of vibration in counts."""
    time = np.arange(WINDOW) / RATE
    shaft = rng.uniform(20, 30)
    load = rng.uniform(0.3, 1)
    severity = rng.uniform(0, 1)
    turns = shaft * time + rng.uniform()

    out_of_true = 0.12 * (shaft / 25) ** 2 * rng.normal(1, 0.05)
    if fault == "imbalance":
        out_of_true *= 2.5 + 2.5 * severity
    g = out_of_true * wave(turns)
    g += 0.04 * rng.normal(1, 0.1) * wave(2 * turns + rng.uniform()) + 0.02 * wave(3 * turns + rng.uniform())

    loudness = 1 + 0.1 * wave(turns)
    if fault == "tooth":
        loudness += (1 + 2 * severity) * np.exp(-(((turns % 1 - 0.5) / 0.06) ** 2))
    g += 0.1 * load * loudness * (wave(23 * turns + rng.uniform()) + 0.4 * wave(46 * turns + rng.uniform()))

    g += 0.05 * (0.5 + 0.5 * load) * ring(rng.normal(size=WINDOW + 256), 1100, 600)[256:]
    if fault == "bearing":
        blows = np.zeros(WINDOW + 256)
        at = rng.uniform(0, RATE / (3.57 * shaft))
        while at < len(blows):
            blows[int(at)] = rng.normal(1, 0.1)
            at += RATE / (3.57 * shaft * rng.normal(1, 0.015))
        g += (0.35 + 1.2 * severity) * ring(blows, 1450, 350)[256:]
    if fault == "looseness":
        for order in range(1, 21):
            g += (0.03 + 0.08 * severity) / order**0.5 * wave(order / 2 * turns + rng.uniform())

    g += 0.01 * rng.normal(size=WINDOW)
    return np.clip(np.round(g * COUNTS), -32768, 32767).astype(np.int16)


def wave(turns):
    return np.sin(2 * np.pi * turns)


def ring(force, frequency, damping):
    """What a resonance makes of a force: x" + 2·damping·x' + (2π·frequency)²·x = force, sampled and scaled."""
    pole = np.exp((-damping + 2j * np.pi * frequency) / RATE)
    a, b = 2 * pole.real, -abs(pole) ** 2
    x = np.zeros(len(force))
    for i in range(2, len(force)):
        x[i] = a * x[i - 1] + b * x[i - 2] + force[i]
    return x
