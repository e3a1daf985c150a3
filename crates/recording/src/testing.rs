//! Makers of random records for the tests of this crate.

use bytes::Bytes;
use hoop_model::{StreamId, Timestamp};
use proptest::prelude::*;

use crate::event::{
    Column, Direction, Event, FileOperation, Form, Parameter, Record, RequestId, Said, Terminal,
};

fn blob() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = RequestId> {
    any::<u64>().prop_map(RequestId)
}

fn forms() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::Query),
        blob().prop_map(|name| Form::Prepare { name }),
        (blob(), blob()).prop_map(|(portal, statement)| Form::Bind { portal, statement }),
        (blob(), any::<u32>()).prop_map(|(portal, max_rows)| Form::Execute { portal, max_rows }),
        any::<u32>().prop_map(|function| Form::FunctionCall { function }),
        Just(Form::Cancel),
        Just(Form::LogIn),
        terminals().prop_map(|terminal| Form::Shell { terminal }),
        terminals().prop_map(|terminal| Form::Command { terminal }),
        Just(Form::Subsystem),
        Just(Form::Forward),
        Just(Form::Api),
        proptest::sample::select(&FileOperation::ALL[..]).prop_map(|operation| Form::File { operation }),
    ]
}

fn terminals() -> impl Strategy<Value = Option<Terminal>> {
    let one = (blob(), any::<u32>(), any::<u32>()).prop_map(|(name, columns, rows)| Terminal {
        name,
        columns,
        rows,
    });
    proptest::option::of(one)
}

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::In), Just(Direction::Out), Just(Direction::Error)]
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    let one =
        (any::<bool>(), proptest::option::of(blob())).prop_map(|(binary, value)| Parameter { binary, value });
    proptest::collection::vec(one, 0..4)
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let one = (blob(), any::<u32>(), any::<bool>()).prop_map(|(name, type_id, binary)| Column {
        name,
        type_id,
        binary,
    });
    proptest::collection::vec(one, 0..4)
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        proptest::collection::vec((".{0,8}", ".{0,8}"), 0..4).prop_map(|facts| Event::Opened { facts }),
        (id(), forms(), blob(), parameters()).prop_map(|(id, form, text, parameters)| Event::Request {
            id,
            form,
            text,
            parameters
        }),
        (id(), columns()).prop_map(|(id, columns)| Event::Columns { id, columns }),
        (id(), any::<u32>(), blob()).prop_map(|(id, count, data)| Event::Rows { id, count, data }),
        (id(), directions(), blob()).prop_map(|(id, direction, data)| Event::Copy { id, direction, data }),
        (id(), any::<u32>(), any::<u32>()).prop_map(|(id, columns, rows)| Event::Resized {
            id,
            columns,
            rows
        }),
        (id(), any::<u64>()).prop_map(|(id, limit)| Event::Curtailed { id, limit }),
        (id(), proptest::collection::vec((".{0,8}", any::<u64>()), 0..4))
            .prop_map(|(id, counts)| Event::Masked { id, counts }),
        (id(), blob(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(id, tag, rows, bytes, duration_us)| Event::Completed { id, tag, rows, bytes, duration_us }
        ),
        (proptest::option::of(id()), blob(), blob(), any::<u64>())
            .prop_map(|(id, code, message, duration_us)| Event::Failed { id, code, message, duration_us }),
        (id(), ".{0,9}", ".{0,20}").prop_map(|(id, code, message)| Event::Denied { id, code, message }),
        (prop_oneof![Just(Said::Notice), Just(Said::Notification), Just(Said::Setting)], blob())
            .prop_map(|(kind, text)| Event::Said { kind, text }),
        (".{0,20}", any::<u64>(), any::<u64>()).prop_map(|(reason, bytes_in, bytes_out)| Event::Closed {
            reason,
            bytes_in,
            bytes_out
        }),
        ".{0,20}".prop_map(|reason| Event::Gap { reason }),
    ]
}

/// Any record.
pub(crate) fn records() -> impl Strategy<Value = Record> {
    (any::<i64>(), proptest::option::of(0..u32::MAX), events()).prop_map(|(at, stream, event)| Record {
        at: Timestamp::from_micros(at),
        stream: stream.map(StreamId),
        event,
    })
}
