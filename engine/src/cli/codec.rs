//! Bytes and JSON.

use std::io::Read;

use kdht_wire::json;

use super::Failure;
use super::args::{DecodeArgs, EncodeArgs};
use super::show;

pub(crate) fn decode(args: &DecodeArgs) -> Result<(), Failure> {
    let bytes = show::unhex(&given_or_read(args.hex.as_deref())?)?;
    let text = if args.json { json::to_json(&bytes) } else { json::to_json_pretty(&bytes) };
    match text {
        Ok(text) => {
            show::line(&text);
            Ok(())
        }
        Err(error) => {
            let len = bytes.len();
            Err(Failure::Failed(format!("these {len} bytes are no message: {error}")))
        }
    }
}

pub(crate) fn encode(args: &EncodeArgs) -> Result<(), Failure> {
    let ring = show::key_ring(args.network_key.as_deref())?;
    let text = given_or_read(args.json_text.as_deref())?;
    let bytes = json::from_json_keyed(&text, ring.signing()).map_err(Failure::failed)?;
    show::line(&show::hex(&bytes));
    Ok(())
}

fn given_or_read(given: Option<&str>) -> Result<String, Failure> {
    match given {
        Some(text) => Ok(text.to_owned()),
        None => {
            let mut text = String::new();
            let read = std::io::stdin().take(16 << 20).read_to_string(&mut text);
            read.map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
            Ok(text)
        }
    }
}
