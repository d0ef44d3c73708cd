//! What stands before the message of a unary gRPC call (gRPC over HTTP/2, "Length-Prefixed-Message").

/// A flag and four bytes of length.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Of a message of `length` bytes.
pub(crate) fn write(is_compressed: bool, length: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [u8::from(is_compressed), a, b, c, d]
}

/// The flag, 1 for a compressed message and 0 for one that is not, and the length in bytes.
pub(crate) fn read([flag, length @ ..]: [u8; PREFIX_BYTES]) -> (u8, u32) {
    (flag, u32::from_be_bytes(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_flag_and_a_length_in_network_order() {
        assert_eq!(write(true, 0x0102_0304), [1, 1, 2, 3, 4]);
        assert_eq!(read(write(false, u32::MAX)), (0, u32::MAX));
        assert_eq!(read([7, 0, 0, 1, 0]), (7, 256));
    }
}
