//! The app's side of the oblivious pseudo-random function: blinding, and taking the blind off again.
//! <https://www.rfc-editor.org/rfc/rfc9497#section-3.3.1>

use rand_core_06::{CryptoRng, RngCore};
use voprf::{EvaluationElement, OprfClient, Ristretto255};

use crate::{Address, Secret};

/// How long an element of the group is, in bytes.
pub const ELEMENT_BYTES: usize = 32;

/// An element of the group, as it goes over the wire.
pub type Element = [u8; ELEMENT_BYTES];

/// Bytes that are no element of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no element of the group")]
pub struct BadElement;

/// An address that was blinded, and how the blind comes off.
pub struct Blinded {
    input: Vec<u8>,
    state: OprfClient<Ristretto255>,
    /// What the server is asked to evaluate. It is a random element, whatever the address is.
    pub element: Element,
}

impl Blinded {
    /// Blinds an address with randomness of this one use.
    pub fn new(address: &Address, random: &mut (impl RngCore + CryptoRng)) -> Self {
        Self::of_input(address.to_input(), random)
    }

    fn of_input(input: Vec<u8>, random: &mut (impl RngCore + CryptoRng)) -> Self {
        let blinded = OprfClient::<Ristretto255>::blind(&input, random).expect("an address is short");
        Self { input, state: blinded.state, element: blinded.message.serialize().into() }
    }

    /// The secret of the address, from what the server made of the element.
    pub fn finish(&self, evaluated: &Element) -> Result<Secret, BadElement> {
        let evaluated = EvaluationElement::deserialize(evaluated).map_err(|_| BadElement)?;
        let output = self.state.finalize(&self.input, &evaluated).map_err(|_| BadElement)?;
        Ok(Secret::from_output(output.into()))
    }
}

#[cfg(test)]
mod tests {
    use voprf::{BlindedElement, OprfServer};

    use super::*;

    /// Gives what it is told to, so that the blind is the one of a test vector.
    struct Told(Vec<u8>);

    impl RngCore for Told {
        fn next_u32(&mut self) -> u32 {
            unreachable!("blinding takes bytes")
        }
        fn next_u64(&mut self) -> u64 {
            unreachable!("blinding takes bytes")
        }
        fn fill_bytes(&mut self, to: &mut [u8]) {
            let told = self.0.drain(..to.len());
            to.iter_mut().zip(told).for_each(|(to, byte)| *to = byte);
        }
        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), rand_core_06::Error> {
            self.fill_bytes(to);
            Ok(())
        }
    }
    impl CryptoRng for Told {}

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// The scalar of a vector is a wide one with nothing in its upper half.
    fn told(blind: &str) -> Told {
        let mut wide = bytes(blind);
        wide.resize(64, 0);
        Told(wide)
    }

    /// RFC 9497, appendix A.1.1.
    #[test]
    fn the_vectors_of_the_rfc_come_out() {
        let seed = [0xa3; 32];
        let server = OprfServer::<Ristretto255>::new_from_seed(&seed, b"test key").expect("a key");
        let key = "5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e";
        assert_eq!(server.serialize().to_vec(), bytes(key));
        for (input, blinded, evaluated, output) in [
            (
                "00",
                "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c",
                "7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e",
                "527759c3d9366f277d8c6020418d96bb393ba2afb20ff90df23fb7708264e2f3\
                 ab9135e3bd69955851de4b1f9fe8a0973396719b7912ba9ee8aa7d0b5e24bcf6",
            ),
            (
                "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
                "da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418",
                "b4cbf5a4f1eeda5a63ce7b77c7d23f461db3fcab0dd28e4e17cecb5c90d02c25",
                "f4a74c9c592497375e796aa837e907b1a045d34306a749db9f34221f7e750cb4\
                 f2a6413a6bf6fa5e19ba6348eb673934a722a7ede2e7621306d18951e7cf2c73",
            ),
        ] {
            let blind = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
            let mine = Blinded::of_input(bytes(input), &mut told(blind));
            assert_eq!(mine.element.to_vec(), bytes(blinded));
            let asked = BlindedElement::deserialize(&mine.element).expect("an element");
            let answer: Element = server.blind_evaluate(&asked).serialize().into();
            assert_eq!(answer.to_vec(), bytes(evaluated));
            let secret = mine.finish(&answer).expect("an element");
            assert_eq!(secret.output().to_vec(), bytes(&output.replace(char::is_whitespace, "")));
            assert_eq!(server.evaluate(&bytes(input)).expect("an input").to_vec(), secret.output().to_vec());
        }
    }

    #[test]
    fn an_answer_that_is_no_element_is_refused() {
        let address = Address::phone_number("+4930123456").expect("a number");
        let blinded = Blinded::new(&address, &mut rand_core_06::OsRng);
        for wrong in [[0; 32], [0xFF; 32], [1; 32]] {
            assert!(matches!(blinded.finish(&wrong), Err(BadElement)), "{wrong:?}");
        }
    }
}
