"""What to do about failures, by code; docs/errors.md says what each code means."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.failures import UNFINISHED

REMEDIES = {
    "bad_line": "mend the line in the manifest",
    "bad_certificate": "give another URL of it, or have the server's certificate mended",
    "bad_url": "correct the URL in the manifest",
    "connection_failed": "look at the network between the workers and the server",
    "decoder_crashed": "get a sound copy of the file; report it with the video where many crash, or sound ones",
    "forbidden": "give the workers credentials, or take the line out of the manifest",
    "internal": "report the message with the video: a bug of storyloom, or of a stage of your own",
    "language_not_supported": "name a multilingual transcribe.model, or correct the manifest",
    "language_unknown": "name a multilingual transcribe.model, or give the language in the manifest if it is English",
    "live_stream": "wait until the broadcast is over",
    "media_changed": "leave the files alone while a run reads them",
    "missing_package": "install the package that the message names, on every worker",
    "not_a_file": "name a file of media in the manifest",
    "not_found": "correct the path or URL in the manifest, or take the line out",
    "not_media": "name the file of the video itself, by its path or URL, not a text, page or list",
    "outside_root": "move the file under download.local_root, or set another one",
    "probe_crashed": "raise download.probe_memory; report it with the video where many crash, or sound ones",
    "private_address": "if the host is one of yours, set download.allow_private_addresses=true (by --set)",
    "rate_limited": "lower download.per_host, and wait",
    "scheme_refused": "add the scheme to download.schemes if it should be fetched",
    "server_error": "wait until the server works again",
    "timeout": "wait, or raise download.timeout",
    "too_slow": "raise download.max_seconds",
    "unknown_host": "correct the host in the manifest, or look at the workers' name service",
    "worker_crashed": "look at the workers' memory; report it with the video if there is enough",
}
"""What to do, in a few words; before trying again where that may help."""

LEFT_OUT = {
    "no_audio": "it has no sound, and documents are made of what is said",
    "no_speech": "nobody is heard to speak in it, or in no language that the model knows",
    "no_picture": "it has no moving picture",
    "no_document": "no frame goes with a sentence surely enough, or too little is said in it",
    "too_large": "its file is over download.max_bytes",
    "too_long": "it is over download.max_duration",
    "too_short": "it is under download.min_duration",
}
"""Why a video gave no document, by the reason for which it was left out."""

DECODING = "get a sound copy of the file; a player's word that it is sound is worth a report"
"""For what cannot be read."""


def with_retry(code: str) -> str:
    """The option of `storyloom run` that tries again what failed with a code; with none, what may pass."""
    return f"--retry {code}".rstrip()


def retry_option(failures: Iterable[tuple[str, bool]], option: Callable[[str], str] = with_retry) -> str:
    """The option that tries failures again, by their codes and whether they are retryable.

    Those that may pass by themselves come first; otherwise the first code, whose cause has to be mended.
    """
    some = list(failures)
    return option("" if any(retryable for _, retryable in some) else some[0][0])


def remedy(code: str, *, retryable: bool, option: Callable[[str], str] = with_retry) -> str:
    """What to do about a failure."""
    if code == UNFINISHED:
        return "run again: its part is not done yet"
    first = REMEDIES.get(code) or (DECODING if code.endswith(("_media", "_undecodable", "_streams")) else "")
    again = option(code)
    if retryable:
        return f"{first}; then {again}" if first else f"may pass: {again}"
    return f"{first}; then {again}" if first else f"see the message; then {again}"
