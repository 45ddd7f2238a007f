"""The errors a person can act on; anything else that escapes is a bug of ours."""

import math

# Exit codes of the programs; 0: done, 130: interrupted by the user.
FAILED = 1  # explained
PREEMPTED = 75  # saved: start it again
HUNG = 76  # ended by a watchdog
CONFIG_WRONG = 78  # the config or the command line: never worth a retry


class ConfigError(Exception):
    """The config or the command line is wrong (exit code 78), known before a step.

    The message says what was given, what was expected and what to do.
    """


class RunError(Exception):
    """The run cannot go on, and the message explains why (exit code 1)."""


class Preempted(Exception):
    """The run was told to end; `step` is saved (exit code 75)."""

    def __init__(self, step: int):
        super().__init__(
            f"Told to end: step {step} is saved; the same command goes on there."
        )


# Why a sample cannot be used. The order is part of the batch (counts by position).
BAD_SAMPLE_CAUSES = (
    "image_missing",
    "image_empty",
    "image_unreadable",
    "image_truncated",
    "image_too_large",
    "caption_missing",
    "caption_unreadable",
    "caption_too_long",
    "label_unreadable",
    "question_missing",
    "answer_missing",
    "negative_missing",
    "label_missing",
)


class BadSample(Exception):
    """One sample cannot be used; it is counted under `cause` and replaced."""

    def __init__(self, cause: str, detail: str = ""):
        if cause not in BAD_SAMPLE_CAUSES:
            raise ValueError(f"{cause!r} is not in BAD_SAMPLE_CAUSES")
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause


def check_range(
    name: str, value: float | None, low: float, high: float = math.inf
) -> None:
    """ConfigError unless low <= value <= high or None (not given)."""
    if value is not None and not low <= value <= high:
        expected = f"at least {low}" if high == math.inf else f"{low} to {high}"
        raise ConfigError(f"{name} is {value}; expected {expected}")
