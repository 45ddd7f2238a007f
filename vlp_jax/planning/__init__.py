"""Compiles the train step for machines that are not there, and says what it needs."""
