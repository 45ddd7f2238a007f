"""Answers by classes as ViLT has them, and by text as BLIP and ALBEF do."""

import numpy as np
import pytest
import torch

from tests.objectives.calls import call, check_shared_out, names, needs_momentum
from tests.objectives.pairs import error
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.types import Need
from vlp_jax.objectives.answering import AnswerClasses, AnswerText

ROWS, ANSWERS, LENGTH, VOCABULARY = 8, 12, 5, 9


def by_classes():
    rng = np.random.default_rng(0)
    order = np.argsort(rng.uniform(size=(ROWS, ANSWERS)), axis=1)[:, :10]
    given = np.arange(10) < rng.integers(0, 6, size=(ROWS, 1))
    scores = np.minimum(rng.integers(1, 5, size=(ROWS, 10)) / 3, 1)
    return {
        "answer_logits": 3 * rng.normal(size=(ROWS, ANSWERS)).astype(np.float32),
        "answer_labels": np.where(given, order, -1).astype(np.int32),
        "answer_scores": np.where(given, scores, 0).astype(np.float32),
        "valid": np.arange(ROWS) != 4,
    }


def vilts(inputs):
    """ViLT's loss of the valid rows in float64: (loss, gradient, targets)."""
    logits = torch.tensor(inputs["answer_logits"].astype(np.float64))
    logits.requires_grad_(True)
    targets = torch.zeros(ROWS, ANSWERS, dtype=torch.float64)
    for row in range(ROWS):
        of_row = inputs["answer_labels"][row], inputs["answer_scores"][row]
        for label, score in zip(*of_row, strict=True):
            if label >= 0:
                targets[row, label] = float(score)
    valid = torch.tensor(inputs["valid"])
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    loss = bce(logits[valid], targets[valid]) * ANSWERS
    loss.backward()
    return loss.item(), logits.grad.numpy(), targets.numpy()


def test_classes_are_vilts():
    inputs = by_classes()
    assert names(AnswerClasses()) == set(inputs)
    total, count, metrics, gradients = call(AnswerClasses(), inputs, "questions")
    expected, gradient, targets = vilts(inputs)
    assert count == 7 and (targets.max(1) > 0).sum() > 4
    assert error(total / count, expected) <= 1e-5
    assert error(gradients["answer_logits"] / count, gradient) <= 1e-5
    chosen = inputs["answer_logits"].argmax(1)
    score = targets[np.arange(ROWS), chosen][inputs["valid"]].mean()
    assert error(metrics["accuracy"], score) <= 1e-6


def test_accuracy_is_the_score_of_the_likeliest_answer():
    inputs = by_classes()
    inputs["answer_labels"][:, 0], inputs["answer_scores"][:, 0] = 3, 1 / 3
    inputs["answer_labels"][:, 1:], inputs["answer_scores"][:, 1:] = -1, 0
    inputs["answer_logits"] = np.eye(ANSWERS, dtype=np.float32)[[3] * 6 + [2] * 2]
    *_, metrics, _ = call(AnswerClasses(), inputs, "questions")
    assert error(metrics["accuracy"], 5 / 7 / 3) <= 1e-6


def test_sure_and_right_costs_nothing():
    inputs = by_classes()
    inputs["answer_scores"][inputs["answer_labels"] >= 0] = 1.0
    inputs["answer_logits"] = np.float32(200 * vilts(inputs)[2] - 100)
    total, *_ = call(AnswerClasses(), inputs, "questions")
    assert total == 0


def by_text():
    rng = np.random.default_rng(1)
    shape = (ROWS, LENGTH, VOCABULARY)
    return {
        "answer_token_logits": 3 * rng.normal(size=shape).astype(np.float32),
        "answer_tokens": rng.integers(0, VOCABULARY, (ROWS, LENGTH), dtype=np.int32),
        "answer_mask": np.arange(LENGTH) < rng.integers(2, LENGTH + 1, size=(ROWS, 1)),
        "valid": np.arange(ROWS) != 4,
    }


def blips(inputs, label_smoothing, teacher=None, share=0.0):
    """Summed over tokens, averaged over questions, in float64: (loss, gradient)."""
    logits = torch.tensor(inputs["answer_token_logits"].astype(np.float64))
    logits.requires_grad_(True)
    labels = torch.tensor(inputs["answer_tokens"].astype(np.int64))
    labels[~torch.tensor(inputs["answer_mask"])] = -100
    shifted, labels = logits[:, :-1], labels[:, 1:]
    losses = torch.nn.CrossEntropyLoss(
        reduction="none", label_smoothing=label_smoothing
    )(shifted.reshape(-1, VOCABULARY), labels.reshape(-1))
    losses = losses.view(ROWS, -1).sum(1)
    if share:
        soft = torch.tensor(teacher.astype(np.float64))[:, :-1].softmax(-1)
        distilled = -(shifted.log_softmax(-1) * soft).sum(-1)
        distilled = (distilled * (labels != -100)).sum(1)
        losses = (1 - share) * losses + share * distilled
    loss = losses[torch.tensor(inputs["valid"])].mean()
    loss.backward()
    return loss.item(), logits.grad.numpy()


@pytest.mark.parametrize("label_smoothing", [0.1, 0.0])
def test_text_is_blips(label_smoothing):
    inputs = by_text()
    objective = AnswerText(label_smoothing)
    assert names(objective) == set(inputs) and not needs_momentum(objective)
    total, count, metrics, gradients = call(objective, inputs, "questions")
    expected, gradient = blips(inputs, label_smoothing)
    assert count == 7
    assert error(total / count, expected) <= 1e-5
    assert error(gradients["answer_token_logits"] / count, gradient) <= 1e-5
    right = inputs["answer_token_logits"][:, :-1].argmax(-1)
    right = right == inputs["answer_tokens"][:, 1:]
    counted = inputs["answer_mask"][:, 1:] & inputs["valid"][:, None]
    assert error(metrics["accuracy"], right[counted].mean()) <= 1e-6


def test_text_is_blips_by_default():
    total, count, *_ = call(AnswerText(), by_text(), "questions")
    assert error(total / count, blips(by_text(), 0.1)[0]) <= 1e-5


def test_text_with_a_teacher_is_albefs():
    inputs = by_text()
    teacher = 2 * np.random.default_rng(2).normal(size=(ROWS, LENGTH, VOCABULARY))
    teacher = {"answer_token_logits": teacher.astype(np.float32)}
    objective = AnswerText(0.0, soft_share=0.4, ramp_steps=10)
    name = "answer_token_logits"
    assert needs_momentum(objective) == {Need(name, "questions", "momentum")}
    for step, share in ((0, 0.0), (5, 0.2), (30, 0.4)):
        found = call(objective, inputs, "questions", teacher, step)
        expected, gradient = blips(inputs, 0.0, teacher[name], share)
        assert error(found[0] / found[1], expected) <= 1e-5
        assert error(found[3][name] / found[1], gradient) <= 1e-5


@pytest.mark.parametrize(
    ("objective", "arrays"), [(AnswerClasses(), by_classes), (AnswerText(), by_text)]
)
def test_eight_devices(objective, arrays):
    check_shared_out(objective, arrays(), stream="questions")


def test_wrong_options_are_explained():
    with pytest.raises(ConfigError, match="label_smoothing is 2.0; expected 0 to 1"):
        AnswerText(label_smoothing=2.0)
    with pytest.raises(ConfigError, match="soft_share is 2.0; expected 0 to 1"):
        AnswerText(soft_share=2.0)
