"""How the PyTorch networks are trained: some seconds on a task."""

import numpy as np
import torch
import torch.nn.functional as F


def train(network, task, steps=600):
    """Trains a network, or goes on with its training."""
    rng = np.random.default_rng(0)
    inputs, answers = task(rng, 3000)
    inputs, answers = [torch.from_numpy(x) for x in inputs], torch.from_numpy(answers)
    loss = F.mse_loss if answers.is_floating_point() else cross_entropy
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.from_numpy(rng.integers(0, len(answers), 64))
        output = network(*(x[batch] for x in inputs))
        output = output[0] if isinstance(output, tuple) else output
        optimizer.zero_grad()
        loss(output, answers[batch]).backward()
        optimizer.step()
        schedule.step()


def cross_entropy(output, classes):
    # Of probabilities, too: some networks end in a softmax.
    if output.dim() == 2 and torch.allclose(output.sum(1), torch.ones(len(output))) and (output >= 0).all():
        return F.nll_loss((output + 1e-6).log(), classes)
    return F.cross_entropy(output, classes)
