//! AES-SIV (RFC 5297) for the one shape that a token has: a header that the key decides, and a short message.
//!
//! The crate `aes-siv` expands the cipher's key anew for each message and authenticates the constant header again:
//! 0.65 µs of a redirect, where the message needs four blocks of AES. Here what a key decides is made once. The blocks
//! are the crate `aes`'s; the tests hold every message against `aes-siv`, bit for bit.

use aes::Aes256;
use aes::cipher::consts::U16;
use aes::cipher::{
    Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};
use subtle::ConstantTimeEq;

const BLOCK: usize = 16;
/// Bytes of a message: more than one block and less than two, so that S2V ends with `xorend` and CMAC with a padded
/// block.
pub(super) const MESSAGE_BYTES: usize = 29;
const _: () = assert!(MESSAGE_BYTES > BLOCK && MESSAGE_BYTES < 2 * BLOCK);
/// The bits that RFC 5297 clears of the counter: the top ones of its last two words.
const COUNTER_MASK: u128 = !(1 << 63 | 1 << 31);

/// A key with the header that it always authenticates.
pub(super) struct Siv {
    authentication: Aes256,
    encryption: Aes256,
    /// What S2V has made of the header, before the message.
    header: u128,
    /// CMAC's mask of a padded last block.
    padded: u128,
}

impl Siv {
    /// `header`: shorter than a block.
    pub(super) fn new(key: &[u8; 64], header: &[u8]) -> Self {
        let (authentication, encryption) = key.split_at(32);
        let new = |half: &[u8]| Aes256::new_from_slice(half).expect("half of the key is an AES-256 key");
        let (authentication, encryption) = (new(authentication), new(encryption));
        let whole = doubled(one(&authentication, 0));
        let padded = doubled(whole);
        let mut block = [0; BLOCK];
        block[..header.len()].copy_from_slice(header);
        block[header.len()] = 0x80;
        let of_header = one(&authentication, u128::from_be_bytes(block) ^ padded);
        let of_zero = one(&authentication, whole);
        Self { header: doubled(of_zero) ^ of_header, padded, authentication, encryption }
    }

    /// Encrypts `message` in place and gives its tag.
    pub(super) fn seal(&self, message: &mut [u8; MESSAGE_BYTES]) -> [u8; BLOCK] {
        let tag = self.tag(message);
        self.apply_keystream(tag, message);
        tag.to_be_bytes()
    }

    /// Decrypts `message` in place; whether the tag is its own. What does not hold is not to be used.
    pub(super) fn open(&self, tag: [u8; BLOCK], message: &mut [u8; MESSAGE_BYTES]) -> bool {
        self.apply_keystream(u128::from_be_bytes(tag), message);
        self.tag(message).to_be_bytes().ct_eq(&tag).into()
    }

    /// S2V: CMAC of the message whose last block's bytes are combined with the header's.
    fn tag(&self, message: &[u8; MESSAGE_BYTES]) -> u128 {
        let mut text = [0; 2 * BLOCK];
        text[..MESSAGE_BYTES].copy_from_slice(message);
        let combined = self.header.to_be_bytes();
        for (byte, header) in text[MESSAGE_BYTES - BLOCK..MESSAGE_BYTES].iter_mut().zip(combined) {
            *byte ^= header;
        }
        text[MESSAGE_BYTES] = 0x80;
        let (first, last) = text.split_at(BLOCK);
        let [first, last] = [first, last].map(|half| u128::from_be_bytes(half.try_into().expect("a block")));
        let mut tag = 0;
        let chain = Chain { first, last: last ^ self.padded, out: &mut tag };
        self.authentication.encrypt_with_backend(chain);
        tag
    }

    fn apply_keystream(&self, tag: u128, message: &mut [u8; MESSAGE_BYTES]) {
        let mut stream = [0; 2 * BLOCK];
        self.encryption.encrypt_with_backend(Stream { counter: tag & COUNTER_MASK, out: &mut stream });
        for (byte, stream) in message.iter_mut().zip(stream) {
            *byte ^= stream;
        }
    }
}

/// Twice a block in GF(2^128), as CMAC and S2V count.
fn doubled(block: u128) -> u128 {
    let carry = if block >> 127 == 1 { 0x87 } else { 0 };
    block << 1 ^ carry
}

fn one(cipher: &Aes256, block: u128) -> u128 {
    let mut block = Block::<Aes256>::from(block.to_be_bytes());
    cipher.encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

/// Two blocks of CBC, the last one out.
struct Chain<'a> {
    first: u128,
    last: u128,
    out: &'a mut u128,
}

/// Two blocks of counter mode.
struct Stream<'a> {
    counter: u128,
    out: &'a mut [u8; 2 * BLOCK],
}

impl BlockSizeUser for Chain<'_> {
    type BlockSize = U16;
}

impl BlockSizeUser for Stream<'_> {
    type BlockSize = U16;
}

fn encrypted<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, block: u128) -> [u8; BLOCK] {
    let mut block = Block::<Aes256>::from(block.to_be_bytes());
    backend.encrypt_block((&mut block).into());
    block.into()
}

impl BlockCipherEncClosure for Chain<'_> {
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let first = u128::from_be_bytes(encrypted(backend, self.first));
        *self.out = u128::from_be_bytes(encrypted(backend, self.last ^ first));
    }
}

impl BlockCipherEncClosure for Stream<'_> {
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let (first, last) = self.out.split_at_mut(BLOCK);
        first.copy_from_slice(&encrypted(backend, self.counter));
        last.copy_from_slice(&encrypted(backend, self.counter.wrapping_add(1)));
    }
}

#[cfg(test)]
mod tests {
    use aes_siv::siv::Aes256Siv;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_aes_siv(
            key in prop::array::uniform32(any::<u8>()),
            rest in prop::array::uniform32(any::<u8>()),
            id: u8,
            message in prop::collection::vec(any::<u8>(), MESSAGE_BYTES),
        ) {
            let mut whole = [0; 64];
            whole[..32].copy_from_slice(&key);
            whole[32..].copy_from_slice(&rest);
            let expected = <Aes256Siv as aes_siv::KeyInit>::new(&whole.into()).encrypt([[id]], &message).unwrap();
            let siv = Siv::new(&whole, &[id]);
            let clear: [u8; MESSAGE_BYTES] = message.try_into().unwrap();
            let mut sealed = clear;
            let tag = siv.seal(&mut sealed);
            prop_assert_eq!(&expected[..BLOCK], &tag);
            prop_assert_eq!(&expected[BLOCK..], &sealed);
            prop_assert!(siv.open(tag, &mut sealed));
            prop_assert_eq!(sealed, clear);
        }
    }

    #[test]
    fn a_counter_goes_over_its_words() {
        // The counter's last 31 bits are ones before the second block: the carry goes where RFC 5297 has room.
        let siv = Siv::new(&[3; 64], &[1]);
        let mut stream = [0; MESSAGE_BYTES];
        siv.apply_keystream(u128::from(u32::MAX), &mut stream);
        let second = one(&siv.encryption, (u128::from(u32::MAX) & COUNTER_MASK) + 1);
        assert_eq!(stream[BLOCK..], second.to_be_bytes()[..MESSAGE_BYTES - BLOCK]);
    }
}
