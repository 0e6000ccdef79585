"""What a stage spends in a run, counted over all workers, and the budget that it keeps to."""

from __future__ import annotations

import asyncio

from stages.base import RunEnds
from stages.inference.settings import BudgetConfig
from stages.turns import Turns

MILLION = 1_000_000


class Spending:
    """Counts requests, tokens and money.

    Args:
        budget: What may be spent.
        stage: Name of the stage.
        turns: Counts over all workers of the run.
    """

    def __init__(self, budget: BudgetConfig, stage: str, turns: Turns) -> None:
        self._budget = budget
        self._stage = stage
        self._turns = turns
        self._over = ""

    def check(self) -> None:
        """Go on only within the budget.

        Raises:
            RunEnds: It is spent.
        """
        if self._over:
            raise RunEnds(self._over)

    async def add(self, *, requests: int = 0, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """Count what a request takes; a request before it is made.

        Raises:
            RunEnds: Others have made the last one.
        """
        budget = self._budget
        amounts = {
            "requests": float(requests),
            "tokens": float(tokens_in + tokens_out),
            "money": (tokens_in * budget.input_price + tokens_out * budget.output_price) / MILLION,
        }
        for what, amount in amounts.items():
            limit = float(getattr(budget, what))
            if limit and amount:
                total = await asyncio.to_thread(self._turns.spend, f"{self._stage}.{what}", amount)
                if total >= limit:
                    spent = limit if what == "requests" else total  # a request over the limit is not made
                    self._over = (
                        f"{self._stage}.budget.{what} is spent ({spent:g} of {limit:g}): what was answered is kept;"
                        " run again, with a larger budget if need be, and it goes on from there"
                    )
                if requests and total > limit and what == "requests":
                    raise RunEnds(self._over)
