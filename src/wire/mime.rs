//! Media types by file name: uhttpd's table and lua-eco's, brought up to date.

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The Content-Type.
    pub(crate) name: &'static str,
    /// Whether it is worth being compressed while it is sent.
    pub(crate) compressible: bool,
    /// Whether its format compresses by itself, so that no precompressed sibling is looked for.
    pub(crate) packed: bool,
}

/// Text, with the charset that all of it is in today.
macro_rules! text {
    ($name:literal) => {
        Kind { name: concat!($name, "; charset=utf-8"), compressible: true, packed: false }
    };
}

/// Something that is no text but compresses.
const fn plain(name: &'static str) -> Kind {
    Kind { name, compressible: true, packed: false }
}

/// Something that is compressed already.
const fn packed(name: &'static str) -> Kind {
    Kind { name, compressible: false, packed: true }
}

/// What the table does not know.
const OTHER: Kind = Kind { name: "application/octet-stream", compressible: false, packed: false };

/// Sorted by extension.
const TABLE: &[(&str, Kind)] = &[
    ("7z", packed("application/x-7z-compressed")),
    ("aac", packed("audio/aac")),
    ("apk", packed("application/octet-stream")),
    ("atom", plain("application/atom+xml")),
    ("avi", packed("video/x-msvideo")),
    ("avif", packed("image/avif")),
    ("bmp", plain("image/bmp")),
    ("br", packed("application/octet-stream")),
    ("bz2", packed("application/x-bzip2")),
    ("c", text!("text/x-csrc")),
    ("cfg", text!("text/plain")),
    ("conf", text!("text/plain")),
    ("css", text!("text/css")),
    ("csv", text!("text/csv")),
    ("deb", packed("application/vnd.debian.binary-package")),
    ("diff", text!("text/x-patch")),
    ("doc", plain("application/msword")),
    ("docx", packed("application/vnd.openxmlformats-officedocument.wordprocessingml.document")),
    ("eot", plain("application/vnd.ms-fontobject")),
    ("epub", packed("application/epub+zip")),
    ("flac", packed("audio/flac")),
    ("gif", packed("image/gif")),
    ("gz", packed("application/gzip")),
    ("h", text!("text/x-chdr")),
    ("htm", text!("text/html")),
    ("html", text!("text/html")),
    ("ico", plain("image/x-icon")),
    ("ics", text!("text/calendar")),
    ("ipk", packed("application/octet-stream")),
    ("iso", OTHER),
    ("jar", packed("application/java-archive")),
    ("jpeg", packed("image/jpeg")),
    ("jpg", packed("image/jpeg")),
    ("js", text!("text/javascript")),
    ("json", plain("application/json")),
    ("jsonp", text!("text/javascript")),
    ("ko", OTHER),
    ("log", text!("text/plain")),
    ("lua", text!("text/plain")),
    ("m3u8", plain("application/vnd.apple.mpegurl")),
    ("m4a", packed("audio/mp4")),
    ("m4v", packed("video/mp4")),
    ("map", plain("application/json")),
    ("md", text!("text/plain")),
    ("mjs", text!("text/javascript")),
    ("mkv", packed("video/x-matroska")),
    ("mov", packed("video/quicktime")),
    ("mp3", packed("audio/mpeg")),
    ("mp4", packed("video/mp4")),
    ("mpeg", packed("video/mpeg")),
    ("mpg", packed("video/mpeg")),
    ("o", OTHER),
    ("odp", packed("application/vnd.oasis.opendocument.presentation")),
    ("ods", packed("application/vnd.oasis.opendocument.spreadsheet")),
    ("odt", packed("application/vnd.oasis.opendocument.text")),
    ("oga", packed("audio/ogg")),
    ("ogg", packed("audio/ogg")),
    ("ogv", packed("video/ogg")),
    ("opus", packed("audio/ogg")),
    ("otf", plain("font/otf")),
    ("patch", text!("text/x-patch")),
    ("pdf", packed("application/pdf")),
    ("php", text!("text/plain")),
    ("pl", text!("text/plain")),
    ("png", packed("image/png")),
    ("ppt", plain("application/vnd.ms-powerpoint")),
    ("pptx", packed("application/vnd.openxmlformats-officedocument.presentationml.presentation")),
    ("ps", plain("application/postscript")),
    ("py", text!("text/plain")),
    ("rar", packed("application/vnd.rar")),
    ("rss", plain("application/rss+xml")),
    ("rtf", plain("application/rtf")),
    ("sh", text!("text/plain")),
    ("svg", plain("image/svg+xml")),
    ("svgz", packed("image/svg+xml")),
    ("tar", plain("application/x-tar")),
    ("tbz", packed("application/x-bzip2")),
    ("tgz", packed("application/gzip")),
    ("tif", plain("image/tiff")),
    ("tiff", plain("image/tiff")),
    ("ts", packed("video/mp2t")),
    ("ttf", plain("font/ttf")),
    ("txt", text!("text/plain")),
    ("vtt", text!("text/vtt")),
    ("wasm", plain("application/wasm")),
    ("wav", plain("audio/wav")),
    ("weba", packed("audio/webm")),
    ("webm", packed("video/webm")),
    ("webmanifest", plain("application/manifest+json")),
    ("webp", packed("image/webp")),
    ("woff", packed("font/woff")),
    ("woff2", packed("font/woff2")),
    ("xhtml", plain("application/xhtml+xml")),
    ("xls", plain("application/vnd.ms-excel")),
    ("xlsx", packed("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")),
    ("xml", plain("application/xml")),
    ("xsl", plain("application/xml")),
    ("xz", packed("application/x-xz")),
    ("yaml", text!("text/plain")),
    ("yml", text!("text/plain")),
    ("zip", packed("application/zip")),
    ("zst", packed("application/zstd")),
];

/// What the file of this name, or path, is.
pub(crate) fn kind(path: &[u8]) -> Kind {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or(path);
    if name == b"README" {
        return text!("text/plain");
    }
    let Some(dot) = name.iter().rposition(|&b| b == b'.') else {
        return OTHER;
    };
    let extension = name.get(dot + 1..).unwrap_or(&[]).to_ascii_lowercase();
    match TABLE.binary_search_by(|(known, _)| known.as_bytes().cmp(&extension)) {
        Ok(at) => TABLE.get(at).map_or(OTHER, |(_, kind)| *kind),
        Err(_) => OTHER,
    }
}

/// Whether content of this type, as a handler names it, is worth being compressed.
///
/// Event streams are not: what they say has to leave at once, for hours.
#[cfg(feature = "gzip")]
pub(crate) fn is_compressible(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or("").trim_ascii().to_ascii_lowercase();
    if name == "text/event-stream" {
        return false;
    }
    name.starts_with("text/")
        || name.ends_with("+xml")
        || name.ends_with("+json")
        || TABLE.iter().any(|(_, kind)| kind.compressible && kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        assert!(
            TABLE.iter().all(|(extension, _)| kind(format!("x.{extension}").as_bytes()) != OTHER
                || matches!(*extension, "iso" | "ko" | "o"))
        );
    }

    #[test]
    fn types_by_name() {
        for (path, name) in [
            ("/a/page.html", "text/html; charset=utf-8"),
            ("/PAGE.HTM", "text/html; charset=utf-8"),
            ("/x.tar.gz", "application/gzip"),
            ("/app.js", "text/javascript; charset=utf-8"),
            ("/data.json", "application/json"),
            ("/README", "text/plain; charset=utf-8"),
            ("/dir.html/file", "application/octet-stream"),
            ("/.", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(kind(path.as_bytes()).name, name, "{path}");
        }
        assert!(kind(b"a.png").packed && !kind(b"a.bin").packed && !kind(b"a.bin").compressible);
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn types_by_content_type() {
        for (name, expected) in [
            ("text/html; charset=utf-8", true),
            ("Application/JSON", true),
            ("image/svg+xml", true),
            ("application/problem+json", true),
            ("text/event-stream", false),
            ("image/png", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_compressible(name), expected, "{name}");
        }
    }
}
