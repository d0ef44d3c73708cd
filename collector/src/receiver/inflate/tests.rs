use std::io::Write;
use std::time::Duration;

use ::zstd::zstd_safe::CParameter;
use flate2::write::GzEncoder;
use tracepipe_config::MemoryLimiterSettings;

use super::*;

const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

const MIB: usize = 1 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As encoders for streams write it: without the length, with a window.
fn zstd_stream(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
    for piece in bytes.chunks(1000) {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => gzip(bytes),
        Compression::Zstd => ::zstd::bulk::compress(bytes, 3).unwrap(),
    }
}

fn limiter(limit_bytes: usize) -> MemoryLimiter {
    MemoryLimiter::new(&MemoryLimiterSettings {
        check_interval: Duration::from_secs(1),
        limit_bytes: limit_bytes as u64,
        spike_bytes: 0,
    })
}

fn bounds(max_bytes: usize) -> Bounds {
    Bounds {
        max_bytes: max_bytes as u64,
        here_max: u64::MAX,
    }
}

/// With a decoder of its own and much room.
fn inflate(compression: Compression, body: &[u8]) -> Result<Bytes, Stop> {
    let inflated = Inflater::default().inflate(body, compression, bounds(100 * MIB), &limiter(1 << 40));
    inflated.map(|(bytes, _)| bytes)
}

fn is_malformed(inflated: &Result<Bytes, Stop>) -> bool {
    matches!(inflated, Err(Stop::Rejected(Rejection::Malformed(_))))
}

/// Neither all the same nor all different.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"spans and traces"[state as usize >> 28] ^ u8::from(state & 0xff_0000 == 0)
        })
        .collect()
}

#[test]
fn what_was_compressed_comes_back_and_is_accounted() {
    let inflater = Inflater::default();
    let limiter = limiter(1 << 40);
    for length in [0, 1, 300, 4096, 100_000, MIB - 1, MIB, MIB + 1, 5 * MIB] {
        let text = text(length);
        for compression in BOTH {
            let body = compress(compression, &text);
            // Twice: the second time with what the first has left.
            for _ in 0..2 {
                let (bytes, reservation) = inflater
                    .inflate(&body, compression, bounds(length), &limiter)
                    .unwrap();
                assert_eq!(bytes, text);
                let idle = limiter.accounted();
                drop(reservation);
                let given_back = idle - limiter.accounted();
                assert!(given_back >= length as u64, "{given_back} of {length} bytes");
                assert!(limiter.accounted() <= 256 * 1024, "{}", limiter.accounted());
            }
        }
    }
}

#[test]
fn several_members_and_frames_are_one_body() {
    let text = text(300_000);
    let (one, other) = text.split_at(123_456);
    for compression in BOTH {
        let parts = [one, b"", other].map(|part| compress(compression, part)).concat();
        assert_eq!(inflate(compression, &parts).unwrap(), text);
    }
    let streams = [zstd_stream(one, 17), zstd_stream(other, 20)].concat();
    assert_eq!(inflate(Compression::Zstd, &streams).unwrap(), text);
    // A skippable frame in between: 0x184d2a50, its length, its bytes.
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let parts = [&zstd_stream(one, 17), &skippable[..], &zstd_stream(other, 17)].concat();
    assert_eq!(inflate(Compression::Zstd, &parts).unwrap(), text);
}

#[test]
fn nothing_is_nothing_in_zstd_and_broken_gzip() {
    assert_eq!(inflate(Compression::Zstd, b""), Ok(Bytes::new()));
    assert!(is_malformed(&inflate(Compression::Gzip, b"")));
}

#[test]
fn every_beginning_of_a_body_is_malformed_or_short() {
    let text = text(2_000);
    for body in [
        gzip(&text),
        compress(Compression::Zstd, &text),
        zstd_stream(&text, 17),
    ] {
        let compression = if body[0] == 0x1f {
            Compression::Gzip
        } else {
            Compression::Zstd
        };
        for length in 1..body.len() {
            let inflated = inflate(compression, &body[..length]);
            assert!(is_malformed(&inflated), "{length} bytes: {inflated:?}");
        }
        let noisy = [&body, &b"noise"[..]].concat();
        assert!(is_malformed(&inflate(compression, &noisy)));
    }
}

#[test]
fn a_changed_byte_is_noticed_or_harmless() {
    let text = text(2_000);
    for body in [gzip(&text), zstd_stream(&text, 17)] {
        let compression = if body[0] == 0x1f {
            Compression::Gzip
        } else {
            Compression::Zstd
        };
        for at in 0..body.len() {
            let mut broken = body.clone();
            broken[at] ^= 0x10;
            // Never a panic; gzip has a checksum, this zstd has none.
            match inflate(compression, &broken) {
                Ok(bytes) if compression == Compression::Gzip => assert_eq!(bytes, text, "at {at}"),
                Ok(_) | Err(Stop::Rejected(_)) => {}
                Err(Stop::TooLongHere) => panic!("there is no such bound"),
            }
        }
    }
}

#[test]
fn all_parts_of_a_gzip_header_are_read() {
    let plain = gzip(b"spans");
    let mut header = vec![0x1f, 0x8b, 8, 0b1_1110, 0, 0, 0, 0, 0, 255];
    // Extra field, name, comment, checksum of the header.
    header.extend([3, 0, 1, 2, 3]);
    header.extend(b"name\0comment\0");
    header.extend([0xab, 0xcd]);
    let whole = [&header, &plain[10..]].concat();
    assert_eq!(inflate(Compression::Gzip, &whole).unwrap(), &b"spans"[..]);
    for length in 0..header.len() {
        assert!(is_malformed(&inflate(Compression::Gzip, &header[..length])));
    }
    // A bit that has no meaning may have one that changes all.
    let mut reserved = plain;
    reserved[3] = 0x20;
    assert!(is_malformed(&inflate(Compression::Gzip, &reserved)));
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let mut gzip = gzip(b"spans");
    let last = gzip.len() - 5;
    gzip[last] ^= 1;
    assert!(is_malformed(&inflate(Compression::Gzip, &gzip)));
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(b"spans").unwrap();
    let mut zstd = encoder.finish().unwrap();
    assert_eq!(inflate(Compression::Zstd, &zstd).unwrap(), &b"spans"[..]);
    let last = zstd.len() - 1;
    zstd[last] ^= 1;
    assert!(is_malformed(&inflate(Compression::Zstd, &zstd)));
}

/// Ten MiB of zeros in each form; the last is a stream with a window of 2^`window_log` bytes.
fn bombs(window_log: u32) -> [(Compression, Vec<u8>); 3] {
    let zeros = vec![0; 10 * MIB];
    [
        (Compression::Gzip, gzip(&zeros)),
        (Compression::Zstd, compress(Compression::Zstd, &zeros)),
        (Compression::Zstd, zstd_stream(&zeros, window_log)),
    ]
}

#[test]
fn a_bomb_stops_at_the_bound() {
    for (compression, bomb) in bombs(20) {
        let limiter = limiter(1 << 30);
        let stopped = Inflater::default().inflate(&bomb, compression, bounds(MIB), &limiter);
        assert_eq!(
            stopped.map(|_| ()),
            Err(Stop::Rejected(Rejection::TooLarge {
                max_bytes: MIB as u64
            }))
        );
        assert_eq!(limiter.accounted(), 0);
    }
}

#[test]
fn a_bomb_stops_at_the_memory_limit() {
    for (compression, bomb) in bombs(17) {
        let limiter = limiter(4 * MIB);
        let others = limiter.hold(2 * MIB as u64);
        let stopped = Inflater::default().inflate(&bomb, compression, bounds(100 * MIB), &limiter);
        let known = [Rejection::Memory, Rejection::NeverFits].map(Stop::Rejected);
        assert!(stopped.is_err_and(|stop| known.contains(&stop)));
        drop(others);
        assert_eq!(limiter.accounted(), 0);
    }
}

#[test]
fn a_window_is_accounted_before_it_is_there_and_bounded() {
    // A megabyte of room is not enough for a window of eight.
    let body = zstd_stream(&text(5_000), 23);
    let stopped = Inflater::default().inflate(&body, Compression::Zstd, bounds(MIB), &limiter(MIB));
    assert_eq!(stopped.map(|_| ()), Err(Stop::Rejected(Rejection::NeverFits)));
    let limiter = limiter(16 * MIB);
    let inflater = Inflater::default();
    let (bytes, _) = inflater
        .inflate(&body, Compression::Zstd, bounds(MIB), &limiter)
        .unwrap();
    assert_eq!(bytes, text(5_000));
    // It is not kept for the next.
    assert_eq!(limiter.accounted(), 0);
    let body = zstd_stream(&text(5_000), 24);
    assert!(matches!(
        inflate(Compression::Zstd, &body),
        Err(Stop::Rejected(Rejection::Window { .. }))
    ));
}

#[test]
fn a_length_that_is_a_lie_takes_no_more_room_than_it_may() {
    // gzip's last four bytes are a length; this one comes from 100 bytes.
    let mut body = gzip(&text(100));
    let length = body.len();
    body[length - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    let limiter = limiter(MIB);
    let inflated = Inflater::default().inflate(&body, Compression::Gzip, bounds(MIB), &limiter);
    assert!(matches!(inflated, Err(Stop::Rejected(Rejection::Malformed(_)))));
    // A zstd frame of one segment that says it has 64 MiB.
    let mut claim = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    claim.extend((64_u32 << 20).to_le_bytes());
    claim.extend([0; 100]);
    assert!(matches!(
        inflate(Compression::Zstd, &claim),
        Err(Stop::Rejected(Rejection::Window { .. }))
    ));
}

#[test]
fn old_formats_are_refused() {
    // The magic number of zstd 0.7.
    let old = [0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(is_malformed(&inflate(Compression::Zstd, &old)));
}

#[test]
fn a_body_of_nothing_but_parts_ends_soon() {
    for compression in BOTH {
        let empty = compress(compression, b"");
        let enough = empty.repeat(PARTS_MAX - 1);
        assert_eq!(inflate(compression, &enough), Ok(Bytes::new()));
        let many = empty.repeat(PARTS_MAX + 1);
        assert!(is_malformed(&inflate(compression, &many)));
    }
}

#[test]
fn what_is_longer_than_a_stretch_is_left_to_others() {
    let text = text(3 * MIB);
    let bounds = Bounds {
        max_bytes: u64::MAX,
        here_max: MIB as u64,
    };
    let limiter = limiter(1 << 40);
    for body in [
        gzip(&text),
        compress(Compression::Zstd, &text),
        zstd_stream(&text, 17),
    ] {
        let compression = if body[0] == 0x1f {
            Compression::Gzip
        } else {
            Compression::Zstd
        };
        let inflater = Inflater::default();
        let stopped = inflater.inflate(&body, compression, bounds, &limiter);
        assert_eq!(stopped.map(|_| ()), Err(Stop::TooLongHere));
    }
    assert_eq!(limiter.accounted(), 0);
}
