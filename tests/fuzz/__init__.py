"""Seeded fuzzing: ``python -m tests.fuzz --seconds N --seed S [KIND…]``.

Every other module of this folder is a kind. It has two functions:

- ``cases(rng: random.Random) -> Iterator[Case]``: cases without end, the same ones for the same seed;
- ``check(case: Case) -> None``: runs one case, and raises where something is wrong. An error that the command line
  prints as a sentence is right and must be caught here.

A case is any value whose ``repr`` tells how to make it again.
"""
