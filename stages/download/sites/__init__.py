"""Videos of sites, through yt-dlp: their media, their subtitles, what their pages say, and lists of them."""
