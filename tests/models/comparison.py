"""How far our values are from those of an oracle."""

import numpy as np

from vlp_jax.core import trees


def error(given, expected) -> float:
    difference = np.abs(np.asarray(given, np.float64) - expected).max()
    return difference / np.abs(expected).max()


def check_gradients(gradients, expected) -> None:
    """A tree of ours against {path: array}, each to 1e-4 of its largest value."""
    found = trees.flatten(gradients)
    assert found.keys() == expected.keys()
    largest = max(np.abs(x).max() for x in expected.values())
    for path, gradient in found.items():
        if path.endswith("key/bias"):  # adds the same to a row of scores: no effect
            assert np.abs(gradient).max() <= 1e-6 * largest, path
            assert np.abs(expected[path]).max() <= 1e-6 * largest, path
        else:
            assert error(gradient, expected[path]) <= 1e-4, path


def hf_outputs(model, pixels, **texts):
    """(loss, outputs, gradients by key) of HF's model, in the precision it is in."""
    import torch

    dtype = next(model.parameters()).dtype
    found = model(
        **{name: torch.tensor(x, dtype=torch.long) for name, x in texts.items()},
        pixel_values=torch.tensor(pixels.transpose(0, 3, 1, 2)).to(dtype),
        return_loss=True,
    )
    model.zero_grad()
    found.loss.backward()
    names = ("image_embeds", "text_embeds", "logits_per_image")
    outputs = {name: found[name].detach().numpy() for name in names}
    gradients = {k: p.grad.numpy() for k, p in model.named_parameters()}
    return found.loss.item(), outputs, gradients


def check_equals_hf(found, oracle, translate, pixels, **texts) -> None:
    """Our ((loss, outputs), gradients) against HF's model in both precisions."""
    (loss, outputs), gradients = found
    for precision in ("float", "double"):
        theirs = getattr(oracle, precision)()
        hf_loss, expected, hf_gradients = hf_outputs(theirs, pixels, **texts)
        assert abs(loss - hf_loss) / hf_loss <= 1e-5
        for name, value in expected.items():
            assert error(outputs[name], value) <= 1e-5, name
        check_gradients(gradients, translate(hf_gradients))
