//! Values that a client binds to a statement or gives to a function, read as far as they are there.

use bytes::Bytes;
use hoop_policy::BoundValue;
use hoop_recording::event::Parameter;

use super::shapes::Formats;
use crate::wire::{Malformed, Reader};

/// Values read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) parameters: Vec<Parameter>,
    /// Something was left out: a value over the limit, or what comes behind the part that is looked at.
    pub(super) cut: bool,
}

/// Reads formats and values. `whole`: the message is there to its end, so that what is missing is an error.
pub(super) fn values(body: &mut Reader<'_>, limit: usize, whole: bool) -> Result<Values, Malformed> {
    let formats = formats(body)?;
    let count = body.u16()?;
    let mut parameters = Vec::with_capacity(usize::from(count).min(body.left() / 4));
    let mut cut = false;
    for at in 0..usize::from(count) {
        let binary = match &formats {
            Formats::All { binary } => *binary,
            Formats::Each(each) => each.get(at).copied().unwrap_or(false),
        };
        let Ok(length) = body.i32() else {
            return part(parameters, whole);
        };
        let value = match usize::try_from(length) {
            Err(_) if length == -1 => None,
            Err(_) => return Err(Malformed("a value's length is negative")),
            Ok(length) if length > body.left() => {
                let mut found = body.take_rest();
                found.truncate(limit);
                parameters.push(Parameter { binary, value: Some(found) });
                return part(parameters, whole);
            }
            Ok(length) => {
                let mut value = body.take(length)?;
                cut |= value.len() > limit;
                value.truncate(limit);
                Some(value)
            }
        };
        parameters.push(Parameter { binary, value });
    }
    Ok(Values { parameters, cut })
}

fn part(parameters: Vec<Parameter>, whole: bool) -> Result<Values, Malformed> {
    if whole { Err(Malformed("a value goes beyond its end")) } else { Ok(Values { parameters, cut: true }) }
}

/// Reads a list of format codes: none, one for all, or one each.
pub(super) fn formats(body: &mut Reader<'_>) -> Result<Formats, Malformed> {
    match body.u16()? {
        0 => Ok(Formats::All { binary: false }),
        1 => Ok(Formats::All { binary: body.u16()? == 1 }),
        count if usize::from(count) * 2 <= body.left() => {
            Ok(Formats::Each((0..count).map(|_| body.u16().map(|f| f == 1)).collect::<Result<_, _>>()?))
        }
        _ => Err(Malformed("it announces more formats than it holds")),
    }
}

/// The values of a `Bind` behind its two names: `None` for the result formats if the message is cut.
pub(super) fn bind(mut body: Reader<'_>, limit: usize, whole: bool) -> Result<(Values, Formats), Malformed> {
    let values = values(&mut body, limit, whole)?;
    if !whole {
        return Ok((values, Formats::All { binary: false }));
    }
    let formats = formats(&mut body)?;
    body.finish()?;
    Ok((values, formats))
}

/// What policy sees of them.
pub(super) fn for_policy(values: &Values, limit: usize) -> Vec<BoundValue> {
    let mut seen: Vec<_> = values.parameters.iter().map(|parameter| bound(parameter, limit)).collect();
    if values.cut {
        // How many there are is not known either.
        seen.push(BoundValue::Cut);
    }
    seen
}

fn bound(parameter: &Parameter, limit: usize) -> BoundValue {
    match &parameter.value {
        None => BoundValue::Null,
        // What was cut has this length.
        Some(value) if value.len() >= limit => BoundValue::Cut,
        Some(value) if parameter.binary => BoundValue::Binary(value.clone()),
        Some(value) => BoundValue::Text(value.clone()),
    }
}

/// A function's number and the values given to it.
pub(super) fn function_call(
    mut body: Reader<'_>,
    limit: usize,
    whole: bool,
) -> Result<(u32, Values), Malformed> {
    let function = body.u32()?;
    let values = values(&mut body, limit, whole)?;
    if whole {
        body.u16()?;
        body.finish()?;
    }
    Ok((function, values))
}

/// A statement's text is recorded whole: what is not recorded does not run. An inner NUL would hide what follows.
pub(super) fn query(mut body: Reader<'_>) -> Result<Bytes, Malformed> {
    let text = body.text()?;
    body.finish()?;
    Ok(text)
}

/// Name and text of a `Parse`.
pub(super) fn parse(mut body: Reader<'_>) -> Result<(Bytes, Bytes), Malformed> {
    let (name, text) = (body.text()?, body.text()?);
    let types = body.u16()?;
    body.take(usize::from(types) * 4)?;
    body.finish()?;
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], limit: usize, whole: bool) -> Result<(Values, Formats), Malformed> {
        let bytes = Bytes::copy_from_slice(bytes);
        bind(Reader::new(&bytes, 0, bytes.len()), limit, whole)
    }

    #[test]
    fn values_and_their_forms() {
        let (values, formats) =
            read(b"\0\x02\0\x01\0\0\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\x01", 9, true).unwrap();
        let a = Parameter { binary: true, value: Some(Bytes::from_static(b"a")) };
        assert_eq!(values.parameters, [a, Parameter { binary: false, value: None }]);
        assert_eq!(formats, Formats::All { binary: true });
    }

    #[test]
    fn lies() {
        for body in [
            &b""[..],
            b"\xff\xff\0\0",
            b"\0\0\xff\xff",
            b"\0\0\0\x01\xff\xff\xff\xfe\0\0",
            b"\0\0\0\x01\x7f\xff\xff\xff",
            b"\0\0\0\x01\0\0\0\x01a",
            b"\0\0\0\0\0\0x",
        ] {
            assert!(read(body, 9, true).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_large_value_is_cut() {
        let (values, _) = read(b"\0\0\0\x01\0\0\0\x05hello\0\0", 2, true).unwrap();
        assert!(values.cut);
        assert_eq!(values.parameters[0].value.as_deref(), Some(&b"he"[..]));
        let (values, _) = read(b"\0\0\0\x02\0\0\0\x09hello", 2, false).unwrap();
        assert!(values.cut);
        assert_eq!(values.parameters.len(), 1);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), whole: bool) {
            let _ = read(&bytes, 5, whole);
            let bytes = Bytes::from(bytes);
            let _ = function_call(Reader::new(&bytes, 0, bytes.len()), 5, whole);
            let _ = parse(Reader::new(&bytes, 0, bytes.len()));
            let _ = query(Reader::new(&bytes, 0, bytes.len()));
        }
    }
}
