"""Muon: momentum whose matrices are made orthogonal before they are applied (K. Jordan and others, 2024; scale after Moonlight, 2025).

Matrices of one shape are stacked, so that a step is a few batched products.
"""
import torch


def orthogonalise(g, steps=5):
    """The nearest orthogonal matrices, roughly, of a stack [n, rows, columns] by Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(torch.bfloat16) if g.is_cuda else g
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """For matrices whose name tells how many stacked matrices they hold (a fused q, k, v is three)."""

    def __init__(self, parameters, lr, momentum=0.95, decay=0.05):
        """`parameters`: pairs of parameter and number of stacked matrices."""
        self.parts = {p: n for p, n in parameters}
        super().__init__(list(self.parts), dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                n = self.parts[p]
                shape = (p.shape[0] // n, p.shape[1])
                by_shape.setdefault(shape, []).append((p, update.view(n, *shape)))
            for shape, items in by_shape.items():
                turned = orthogonalise(torch.cat([u for _, u in items])) * (0.2 * max(shape) ** 0.5)
                for (p, u), t in zip(items, turned.split([len(u) for _, u in items])):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(t.reshape(p.shape), alpha=-group["lr"])
