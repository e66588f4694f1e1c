//! Payloads: values as bytes, in JSON or in binary, and back.

mod fault;
mod stored;
mod json;
#[cfg(feature = "binary")]
mod names;
#[cfg(feature = "binary")]
mod writer;
#[cfg(feature = "binary")]
mod reader;
#[cfg(feature = "binary")]
mod binary;
#[cfg(not(feature = "binary"))]
mod no_binary;
mod encoding;

pub(crate) use binary::check as check_binary;
#[cfg(not(feature = "binary"))]
use no_binary as binary;

pub use encoding::Encoding;
pub(crate) use encoding::{decode, decode_variant, encode, encode_variant};
pub(crate) use fault::Fault;
