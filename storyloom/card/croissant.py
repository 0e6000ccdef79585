"""The dataset's Croissant 1.0 description (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from __future__ import annotations

from typing import Any

from storyloom.format.manifest import Published
from storyloom.view.text import LONGEST_NAME, shown

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The names of the vocabulary, as section "Context" of the specification lists them."""


def croissant(published: Published, description: str) -> dict[str, Any]:
    """The JSON-LD of a dataset: a file object per shard with its SHA-256, its documents, images and sounds."""
    archives = [{"@id": shard.file} for shard in published.shards]
    licenses = sorted(
        {shown(name, LONGEST_NAME) for totals in published.splits.values() for name in totals.licenses if name}
    )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": published.name,
        "description": description,
        **({"license": licenses} if licenses else {}),
        "version": f"1.0.0+{published.sha256[:12]}",
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": shard.file,
                    "name": shard.file,
                    "contentUrl": shard.file,
                    "contentSize": f"{shard.filesize} B",
                    "encodingFormat": "application/x-tar",
                    "sha256": shard.sha256,
                }
                for shard in published.shards
            ),
            _members("documents-json", "application/json", "*.json", archives),
            _members("images-jpeg", "image/jpeg", "*.jpg", archives),
            *(
                [_members("codes-npy", "application/octet-stream", "*.codes.npy", archives)]
                if published.has_codes
                else []
            ),
            *([_members("sounds-opus", "audio/ogg", "*.opus", archives)] if published.most_sounds else []),
        ],
        "recordSet": [
            _records(
                "documents",
                f"One interleaved document each; the keys of its JSON are those of {published.schema_}.",
                [
                    _field("documents/sample_id", "sc:Text", "documents-json", "filename", r"^(.+)\.json$"),
                    _field("documents/document", "sc:Text", "documents-json", "content"),
                ],
            ),
            _records(
                "images",
                "The images that the documents name.",
                [
                    _field("images/name", "sc:Text", "images-jpeg", "filename"),
                    _field("images/image", "sc:ImageObject", "images-jpeg", "content"),
                ],
            ),
            *([_CODES] if published.has_codes else []),
            *([_SOUNDS] if published.most_sounds else []),
        ],
    }


def _members(name: str, encoding: str, pattern: str, archives: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": archives,
        "encodingFormat": encoding,
        "includes": pattern,
    }


def _records(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": fields[0]["@id"]},
        "field": fields,
    }


def _field(name: str, kind: str, files: str, file_property: str, regex: str = "") -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": files}, "extract": {"fileProperty": file_property}}
    if regex:
        source["transform"] = {"regex": regex}
    return {"@type": "cr:Field", "@id": name, "name": name.split("/")[1], "dataType": kind, "source": source}


_CODES = _records(
    "codes",
    "Discrete codes of each image, a file of NumPy's: KEY.000.codes.npy has those of KEY.000.jpg.",
    [
        _field("codes/name", "sc:Text", "codes-npy", "filename"),
        _field("codes/codes", "sc:Text", "codes-npy", "content"),
    ],
)

_SOUNDS = _records(
    "sounds",
    "The sound of each text, by the number of the text in its document: KEY.t000.opus is that of the first.",
    [
        _field("sounds/name", "sc:Text", "sounds-opus", "filename"),
        _field("sounds/sound", "sc:Text", "sounds-opus", "content"),
    ],
)
