"""The shard format `storyloom/2`, as docs/format.md states it. All of `storyloom` stands on this and on `fs`.

A finished dataset is a folder of shards. A shard is a plain tar file: `KEY.json` of a document, then its images
`KEY.000.jpg`, `KEY.001.jpg`, and so on; `.tar.idx` beside it says where each document begins, `.parquet` what it holds.

- `sample`: the model of `KEY.json`, with every rule that concerns one document
- `items`: the table beside a shard, a row a document
- `tar`: the bytes of headers, members and the index, written and read
- `shard`: the one writer of shards, and the model of a shard's entry in the manifest
- `reader`: the one reader of shards, from a folder or a URL; `BadShard` names what is broken
- `counts`, `words`: the counts over documents
- `manifest`: the model of `manifest.json`
- `layout`: names of files; `model`, `arrow`: the base of all models, and their Arrow schemas

To read every document of a dataset:

    reader = ShardReader("out/demo/shards")
    for shard in finished_dataset(Path("out/demo/shards")).shards:
        for stored in reader.documents(shard):
            sample = stored.sample()
            jpegs = stored.pictures(sample)
"""
