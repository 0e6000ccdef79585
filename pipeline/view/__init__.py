"""Pages over a run's work folder, which the app of `storyloom.view` shows beside those of the finished dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from storyloom.view.app import Room


def rooms(config: RunConfig, command: str = "storyloom run CONFIG") -> list[Room]:
    """The rooms of a config.

    Args:
        config: The config.
        command: How the user runs it on the command line; for the commands that pages show.
    """
    from starlette.routing import Route

    from pipeline.view.files import frame, media
    from pipeline.view.progress import list_page, run_page
    from pipeline.view.state import Run
    from pipeline.view.timeline_page import timeline_page
    from pipeline.view.tune import move_answer, tune_page
    from storyloom.view.app import Room

    run, here = Run(config, command), "pipeline.view"
    return [
        Room(
            "Run",
            "/run",
            [
                Route("/run", run_page(run)),
                Route("/run/list", list_page(run)),
                Route("/run/frame/{video}/{number:int}.jpg", frame(run)),
                Route("/run/media/{video}", media(run)),
                Route("/timeline/{id:path}", timeline_page(run)),
            ],
            package=here,
            of_video="/timeline/",
        ),
        Room("Tune", "/tune", [Route("/tune", tune_page(run)), Route("/tune/move", move_answer(run))], package=here),
    ]
