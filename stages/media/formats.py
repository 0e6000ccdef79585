"""The media formats that are read: the one list of demuxers and decoders for all that opens a media file.

Everything else that ffmpeg knows is refused: lists of other files or addresses (hls, dash, concat, imf, sdp), sequences
and pairs of files (image2, vobsub), devices, text art, pictures, guesses at text or noise (nsv, g722, tty), and the
formats of old games, whose readers few people test.
"""

from __future__ import annotations

DEMUXERS = frozenset({
    "mov",  # MP4, MOV, M4A, 3GP
    "matroska",  # and WebM
    "mpegts",  # TS, M2TS, MTS
    "mpeg",  # MPG, VOB
    "avi",
    "flv",
    "asf",  # WMV, WMA
    "ogg",  # OGV, Opus
    "mxf",  # cameras and broadcasters
    "gxf",
    "dv",
    "rm",
    "nut",
    "ivf",
    "wtv",
    # A stream without a container.
    "h264",
    "hevc",
    "vvc",
    "av1",
    "obu",
    "m4v",
    "mpegvideo",
    "vc1",
    "yuv4mpegpipe",
    # Sound alone.
    "mp3",
    "aac",
    "loas",
    "ac3",
    "eac3",
    "dts",
    "dtshd",
    "truehd",
    "flac",
    "wav",
    "w64",
    "aiff",
    "caf",
    "au",
    "amr",
    "ape",
    "mpc",
    "mpc8",
    "tta",
    "wv",
})  # fmt: skip
"""Demuxers by their first name. Each reads one file, its own."""

INNER_DEMUXERS = frozenset({"srt", "ass"})
"""Demuxers that one of `DEMUXERS` opens on a part of its own file: the subtitles of an AVI file."""

PICTURE_DECODERS = frozenset({
    "h264", "hevc", "vvc", "libdav1d", "av1", "vp8", "libvpx", "vp9", "libvpx-vp9", "vp3", "theora",
    "mpeg1video", "mpeg2video", "mpegvideo", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4",
    "h261", "h263", "h263i", "h263p",
    "flv", "vp6", "vp6a", "vp6f", "flashsv", "flashsv2",  # FLV
    "wmv1", "wmv2", "wmv3", "wmv3image", "vc1", "vc1image", "mss1", "mss2",  # WMV
    "rv10", "rv20", "rv30", "rv40",  # RealMedia
    "svq1", "svq3", "qtrle", "rpza", "cinepak", "indeo3", "indeo4", "indeo5", "msvideo1", "msrle",  # the nineties
    "dvvideo", "mjpeg", "mjpegb", "jpeg2000", "png", "prores", "dnxhd", "cfhd", "hap",  # cameras
    "v210", "r210", "rawvideo",  # without compression
    "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "lagarith",  # without loss
    "fraps", "zmbv", "camtasia", "tscc2", "camstudio",  # screens
})  # fmt: skip

SOUND_DECODERS = frozenset({
    "aac", "aac_latm", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "libopus", "vorbis",
    "ac3", "eac3", "dca", "truehd", "mlp", "flac", "alac", "mp3on4", "mp3on4float", "als",
    "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "cook", "real_144", "real_288", "sipr",
    "ralf", "atrac3", "nellymoser", "speex", "gsm", "gsm_ms", "amrnb", "amrwb", "libopencore_amrnb",
    "libopencore_amrwb", "qcelp", "evrc", "qdm2", "qdmc", "mace3", "mace6", "truespeech", "ape", "mpc7", "mpc8", "tta",
    "wavpack", "s302m", "dvaudio", "g722", "g726", "g726le", "g723_1", "ilbc",
    "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha",
    "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le",
    "pcm_s8", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le",
    "pcm_s8_planar", "pcm_s16be_planar", "pcm_s16le_planar", "pcm_s24le_planar", "pcm_s32le_planar",
    "pcm_u8", "pcm_u16be", "pcm_u16le", "pcm_u24be", "pcm_u24le", "pcm_u32be", "pcm_u32le",
})  # fmt: skip

TEXT_DECODERS = frozenset({"ass", "ssa", "srt", "subrip", "webvtt", "mov_text", "text", "cc_dec"})

DECODERS = PICTURE_DECODERS | SOUND_DECODERS | TEXT_DECODERS
"""Decoders by ffmpeg's name; several for the codecs that builds of ffmpeg have from different libraries."""

PROTOCOLS = "file"
"""What a demuxer may open: the file that it is given, and nothing over a network. A child can open no other file."""

OPTIONS = {
    "protocol_whitelist": PROTOCOLS,
    "format_whitelist": ",".join(sorted(DEMUXERS | INNER_DEMUXERS)),
    "codec_whitelist": ",".join(sorted(DECODERS)),
}
"""ffmpeg's options of an input, which hold in all that it opens in turn."""


def first_name(container: str) -> str:
    """A demuxer's name by which it can be asked for, of all that it has: ``mov`` of ``mov,mp4,m4a,3gp,3g2,mj2``."""
    return container.partition(",")[0]
