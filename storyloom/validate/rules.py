"""The names of all rules that `storyloom validate` checks, with a line each. docs/validate.md lists the same."""

from __future__ import annotations

FOLDER = {
    "missing_file": "a file that the layout or the manifest asks for is not there",
    "surplus_file": "`data/` or the dataset's folder holds a file that belongs to nothing",
    "leftover": "an unfinished file, or the mark of a run that did not end",
    "unreadable": "a link, not a regular file, no permission, too large for what it is, or the disk fails",
    "no_shards": "the dataset holds no shard",
    "shard_numbers": "a split's shards are not numbered `000000`, `000001`, … without a gap",
    "crashed": "the process that read the shard died twice, the second time with this shard alone",
}

TAR = {
    "tar_header": "a block that should be a tar header is none: its checksum is wrong",
    "tar_size": "a member's size is not eleven octal digits",
    "ustar": "a header's format is not USTAR",
    "typeflag": "a member is not a plain file (typeflag `0`): PAX and GNU extensions, links, folders",
    "mode": "a member's mode is not 0444",
    "owner": "a member's uid or gid is not 0, or its user or group has a name",
    "mtime": "a member's time is not the integer 0",
    "header_padding": "a header's field that is to be empty is not, or its checksum is written otherwise",
    "name_ascii": "a member's name is not ASCII",
    "name_length": "a member's name has 100 bytes or more, or uses USTAR's prefix",
    "padding": "the bytes after a member's data are not zero",
    "truncated": "the file ends inside a member",
    "end_of_archive": "two zero blocks do not end the archive",
    "record_padding": "the file does not end at the next multiple of 10,240 bytes",
    "after_end": "something follows the blocks that end the archive",
    "empty_shard": "a shard holds no document",
    "member_size": "a document has over 4 MiB, any other member over 64 MiB, or all together over 192 MiB",
}

MEMBERS = {
    "key_pattern": "a key does not match `^[0-9a-z][0-9a-z_-]{0,63}$`",
    "member_suffix": "a member is neither `KEY.json` nor `KEY.NNN.jpg`, `KEY.NNN.codes.npy`, `KEY.tNNN.opus`",
    "no_document": "images without their `KEY.json`",
    "document_first": "`KEY.json` does not come before its images",
    "contiguous": "members of one key lie apart",
    "image_numbers": "images are not numbered `000`, `001`, … in this order",
    "image_count": "the document lists more or fewer images than follow it",
    "sound_numbers": "sounds are not numbered `t000`, `t001`, … in this order, after the images",
    "sound_count": "a document has not one sound for each text, or has any where the manifest says that there are none",
    "code_numbers": "files of codes are not numbered `000`, `001`, … in this order, between images and sounds",
    "code_count": "a document has not codes of each image, or has any where the manifest says that there are none",
    "duplicate_key": "two documents of the dataset have one key",
    "video_in_two_splits": "documents of one source video are in two splits",
    "items": "a shard's table, `shard-NNNNNN.parquet`, is damaged, or holds something else than its documents",
    "tar_idx": "`.tar.idx` does not hold where each document begins and where the last one's padded data ends",
}

IMAGES = {
    "jpeg": "an image is no JPEG, or its headers cannot be read",
    "baseline": "a JPEG is not a baseline one with 8 bits",
    "rgb": "a JPEG does not have three components, or does not decode to RGB",
    "image_size": "an image's size differs from `image_width` and `image_height`",
    "opus": "a sound is no Ogg Opus file with one channel",
    "sound_length": "a sound is over 1 ms shorter or longer than its text, or than 20 ms where its text is shorter",
    "codes": "codes are no file of NumPy's format 1.0 with uint16 in C order, 1 to 4,096 rows and columns",
    "image_decode": "`--deep`: an image cannot be decoded whole, or has over 64 million pixels",
}

DOCUMENT = {
    "utf8": "`KEY.json` is not UTF-8, or holds half a surrogate pair",
    "json": "`KEY.json` is not a JSON object",
    "nan": "a number is NaN or infinite",
    "canonical_json": "`KEY.json` is not written with sorted keys, compact separators and unescaped UTF-8",
    "sample_id": "`sample_id` is not the key of the members",
    "missing_key": "a document lacks a key",
    "unknown_key": "a document has a key that the format does not know",
    "null_scalar": "a value is null that may not be",
    "schema": "a document is of another version of the format than the manifest says",
    "wrong_value": "a value has another type than the format's, or lies outside its range",
    "not_a_float": "a time or score is not a float: `2` instead of `2.0`",
    "parallel_lists": "`texts` and `images` have different lengths",
    "one_of_pair": "a position holds both a text and an image, or neither",
    "no_text": "a document has no text",
    "no_image": "a document has no image",
    "too_many_images": "a document has more than `max_images` images",
    "member_name": "an entry of `images` is not the full name of its member",
    "text_index": "`image_text_index` points at no text",
    "one_value_each": "an `image_*` or `text_*` list does not have one value per image or text",
    "placeholder": "a text, a caption or words hold a special token of trainers, such as `<image>` or `<|im_end|>`",
    "control_character": "a text, a caption or a word holds a control character",
    "blank_text": "a text, a caption or a word says nothing",
    "text_interval": "a text ends before it starts",
    "time_order": "`image_time`, `text_start` or `word_start` falls",
    "position_order": "positions are not in time order with a frame before the text that holds it",
    "fuse_status": "an `image_fuse_status` has another form, or is `fused` where `image_fused` is empty, or reverse",
    "word_count": "`words`, `word_start`, `word_end` and the sum of `text_words` differ in number",
    "word_interval": "a word ends before it starts, or lies outside its text's interval",
    "chapters": "`chapters` and `chapter_start` have different lengths, or `chapter_start` falls",
    "upload_date": "`upload_date` is neither empty nor a date such as `2024-05-31`",
    "extra": "`extra` is not a JSON object as a string",
    "document_span": "a time lies outside `doc_start` and `doc_end`",
}

INDEXES = {
    "manifest": "`manifest.json` is not JSON, or not a manifest of this version",
    "manifest_shards": "the manifest's shards are not those of the folder, training shards first, in order",
    "manifest_count": "the manifest's documents, images, sizes, words, seconds … of a shard are not what is in it",
    "manifest_hash": "the manifest's size, SHA-256 or MD5 of a shard, or SHA-256 of its table, is not the file's",
    "manifest_funnel": "the manifest's funnel does not add up, or says something else than what the shards hold",
    "manifest_total": "the manifest's sums over a split are not those of its shards",
    "dataset_hash": "the manifest's `sha256` is not that of its shards' lines",
    "index_syntax": "an index file is not JSON or YAML, as its name says, or names a key twice",
    "sizes": "`sizes.json` does not agree with the manifest",
    "wids": "`wids-SPLIT.json` does not agree with the manifest",
    "energon_info": "`.nv-meta/.info.json` does not agree with the manifest",
    "energon_split": "`.nv-meta/split.yaml` does not agree with the manifest",
    "energon_sample": "a YAML file in `.nv-meta` names another sample type or loader",
    "energon_loader": "`.nv-meta/sample_loader.py` is not the one that storyloom writes: Energon runs it",
    "croissant": "`croissant.json` is not Croissant 1.0, or loads something else than the manifest's files",
    "card_syntax": "`README.md` has no YAML front matter",
    "card_data_files": "the card's `configs` do not name each split by the glob `data/SPLIT/shard-*.tar`",
    "card_features": "the card's features are not `__key__`, `__url__`, `json`, `max_images` images, codes and sounds",
}

RULES = FOLDER | TAR | MEMBERS | IMAGES | DOCUMENT | INDEXES
"""Every rule by its name."""
