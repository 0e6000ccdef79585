"""Makes the demo's narrated video and its ground truth, without a network.

Each photo that scikit-image's wheel ships is shown while flite reads its sentence. One photo is shown in silence and
one while a sentence about something else is read, so that a run over the video has something to drop.

Needs the programs ``ffmpeg`` (with libx264) and ``flite`` (Debian: ``apt install ffmpeg flite``) and the Python package
scikit-image. The same versions of these give the same bytes.

    python demo/make_video.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAME = "narrated.mp4"
VOICE = "rms"
SPEECH_RATE_HZ = 16_000  # what flite writes with this voice
FPS = 25
CANVAS = "640:360"  # pixels
SILENT_SECONDS = 3.2  # with the end of the last photo and the lead of the next: a pause of about 4 s
# Speech is where the wave is above this share of full scale (about -40 dBFS); our choice.
SPEECH_LEVEL = 0.01


@dataclass(frozen=True)
class Shot:
    """One photo of the video and the speech during it.

    Attributes:
        image: File name in ``skimage/data``.
        kind: ``described``, ``silent`` or ``off_topic``.
        text: The sentence that is read, or None.
        lead: Seconds from the cut to the first sound.
        tail: Least seconds from the last sound to the next cut; the shot is rounded up to whole frames.
    """

    image: str
    kind: str
    text: str | None = None
    lead: float = 0.0
    tail: float = 0.0


SHOTS = [
    Shot("astronaut.png", "described", "The woman in an orange space suit is smiling next to a flag.", 0.6, 0.5),
    Shot("chelsea.png", "described", "A young brown cat with green eyes is looking to one side.", 0.4, 0.4),
    Shot("coffee.png", "described", "A red cup of coffee and a spoon are on the wooden table.", 0.7, 0.8),
    Shot("rocket.jpg", "described", "The white rocket is standing between two tall metal towers at night.", 0.5, 0.4),
    Shot("retina.jpg", "silent"),
    Shot("camera.png", "described", "A man in a black coat is looking through a camera.", 0.4, 0.3),
    Shot("hubble_deep_field.jpg", "described", "Many bright stars and galaxies are shining in the dark sky.", 0.6, 0.6),
    Shot("brick.png", "off_topic", "My brother called on Sunday and we talked about good music.", 0.5, 0.5),
    Shot("coins.png", "described", "Several rows of old silver coins are lying on a black cloth.", 0.5, 0.3),
    Shot("horse.png", "described", "This black horse has long legs and a very long tail.", 0.4, 0.6),
    Shot("grass.png", "described", "The ground is covered with short grass and a few small leaves.", 0.8, 0.7),
]


def program(name: str) -> str:
    """Returns the path of a program, or ends the script with the way to install it."""
    path = shutil.which(name)
    if path is None:
        sys.exit(f"make_video.py needs the program '{name}', which is not on PATH. On Debian: apt install {name}")
    return path


def speak(text: str, folder: Path) -> NDArray[np.int16]:
    """Reads a sentence aloud.

    Returns:
        Mono samples at SPEECH_RATE_HZ, shape (n,), with flite's own silence before and after cut off.

    Raises:
        ValueError: flite's wave does not have the expected rate and channels.
    """
    path = folder / "speech.wav"
    subprocess.run([program("flite"), "-voice", VOICE, "-t", text, "-o", str(path)], check=True)
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SPEECH_RATE_HZ, 1, 2):
            raise ValueError(f"flite wrote {file.getparams()}; expected 16-bit mono at {SPEECH_RATE_HZ} Hz")
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SPEECH_LEVEL * 32767)
    return samples[loud[0] : loud[-1] + 1]


def narrate(folder: Path) -> tuple[list[dict[str, object]], list[int], NDArray[np.int16]]:
    """Lays the shots one after the other.

    Returns:
        The segments of the ground truth, the frames of each shot, and the sound of the whole video.
    """
    segments: list[dict[str, object]] = []
    lengths: list[int] = []
    pieces: list[NDArray[np.int16]] = []
    for shot in SHOTS:
        start = sum(lengths) / FPS
        speech = speak(shot.text, folder) if shot.text else np.zeros(0, np.int16)
        spoken = len(speech) / SPEECH_RATE_HZ
        seconds = shot.lead + spoken + shot.tail if shot.text else SILENT_SECONDS
        frames = int(np.ceil(round(seconds * FPS, 6)))
        lengths.append(frames)
        sound = np.zeros(frames * SPEECH_RATE_HZ // FPS, np.int16)
        first = round(shot.lead * SPEECH_RATE_HZ)
        sound[first : first + len(speech)] = speech
        pieces.append(sound)
        segments.append(
            {
                "start": round(start, 3),
                "end": round(start + frames / FPS, 3),
                "speech_start": round(start + shot.lead, 3) if shot.text else None,
                "speech_end": round(start + shot.lead + spoken, 3) if shot.text else None,
                "text": shot.text,
                "caption_image": shot.image if shot.kind == "described" else None,
                "shown_image": shot.image,
                "kind": shot.kind,
            }
        )
    return segments, lengths, np.concatenate(pieces)


def encode(lengths: list[int], sound: Path, photos: Path, out: Path) -> None:
    """Encodes photos and sound: each photo fits the canvas, with dark grey bars, and ends with a hard cut."""
    command = [program("ffmpeg"), "-v", "error", "-y"]
    for shot in SHOTS:
        command += ["-framerate", str(FPS), "-i", str(photos / shot.image)]
    fit = f"scale={CANVAS}:force_original_aspect_ratio=decrease:flags=lanczos+accurate_rnd"
    pad = f"pad={CANVAS}:-1:-1:color=0x202020,setsar=1,format=yuv420p"
    # After scaling, so that a photo is scaled once. Whole-number times: in seconds, rounding loses a frame.
    hold = f"loop=loop={{}}:size=1,settb=1/{FPS},setpts=N"
    chains = [f"[{i}:v]{fit},format=rgb24,{pad},{hold.format(n - 1)}[v{i}]" for i, n in enumerate(lengths)]
    joined = "".join(f"[v{i}]" for i in range(len(SHOTS))) + f"concat=n={len(SHOTS)}[v]"
    command += ["-i", str(sound), "-filter_complex", ";".join([*chains, joined])]
    command += ["-map", "[v]", "-map", f"{len(SHOTS)}:a", "-map_metadata", "-1"]
    command += ["-c:v", "libx264", "-preset", "slow", "-crf", "23", "-tune", "stillimage", "-threads", "1"]
    command += ["-c:a", "aac", "-b:a", "40k", "-ar", str(SPEECH_RATE_HZ), "-ac", "1"]
    command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    command += ["-movflags", "+faststart", str(out)]
    subprocess.run(command, check=True)


def make(out: Path) -> None:
    """Writes narrated.mp4 and narrated.gt.json into a folder."""
    with tempfile.TemporaryDirectory() as temporary, as_file(files("skimage") / "data") as photos:
        folder = Path(temporary)
        segments, lengths, sound = narrate(folder)
        with wave.open(str(folder / "sound.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SPEECH_RATE_HZ)
            file.writeframes(sound.astype("<i2").tobytes())
        encode(lengths, folder / "sound.wav", photos, folder / NAME)
        shutil.copyfile(folder / NAME, out / NAME)
    truth = {"video": NAME, "duration": round(sum(lengths) / FPS, 3), "segments": segments}
    (out / NAME).with_suffix(".gt.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the demo's narrated video and its ground truth.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="an existing folder")
    make(parser.parse_args().out)
