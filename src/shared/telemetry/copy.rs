//! Copies messages, and the spans around them, out of the thread that logs: as owned text with the
//! original metadata, so that they can be told again elsewhere exactly as they were.

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::SystemTime,
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Value, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};

use super::Log;

/// Most fields of one message; the macros take no more.
const FIELDS: usize = 32;

/// A message or a span, with its fields as text.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    metadata: &'static Metadata<'static>,
    fields: Vec<(Field, String)>,
}

/// A message with the spans around it, outermost first.
#[derive(Debug)]
pub(super) struct Message {
    pub time: SystemTime,
    event: Copied,
    spans: Vec<Arc<Copied>>,
}

impl Copied {
    fn new(metadata: &'static Metadata<'static>) -> Self {
        Copied { metadata, fields: Vec::new() }
    }

    /// Calls `with` with the fields as the library wants them.
    fn with_values<R>(&self, with: impl FnOnce(&tracing::field::ValueSet<'_>) -> R) -> Option<R> {
        let filler = self.metadata.fields().iter().next();
        let mut values: Vec<(&Field, Option<&dyn Value>)> =
            self.fields.iter().take(FIELDS).map(|(field, text)| (field, Some(text as &dyn Value))).collect();
        let Some(filler) = &filler else { return Some(with(&self.metadata.fields().value_set(&[]))) };
        values.resize(FIELDS, (filler, None));
        let values: [_; FIELDS] = values.try_into().ok()?;
        Some(with(&self.metadata.fields().value_set(&values)))
    }
}

impl Visit for Copied {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.clone(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.clone(), format!("{value:?}")));
    }
}

impl Message {
    /// Its level.
    pub fn level(&self) -> Level {
        *self.event.metadata.level()
    }

    /// Tells it again to a subscriber, within the same spans.
    pub fn tell(&self, to: &Dispatch) {
        let spans: Vec<Id> = self
            .spans
            .iter()
            .filter_map(|span| span.with_values(|values| to.new_span(&Attributes::new(span.metadata, values))))
            .inspect(|id| to.enter(id))
            .collect();
        self.event.with_values(|values| to.event(&Event::new(self.event.metadata, values)));
        for id in spans.iter().rev() {
            to.exit(id);
        }
        for id in spans.into_iter().rev() {
            to.try_close(id);
        }
    }

    /// One line for people: the message, then its fields and those of the spans around it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let message = self.event.fields.iter().find(|(field, _)| field.name() == "message");
        text.push_str(message.map_or("", |(_, text)| text));
        let spans = self.spans.iter().rev().map(AsRef::as_ref);
        for (field, value) in std::iter::once(&self.event).chain(spans).flat_map(|copied| &copied.fields) {
            if field.name() != "message" && field.name() != "message_id" {
                let space = if text.is_empty() { "" } else { " " };
                let _ = write!(text, "{space}{}={value}", field.name());
            }
        }
        text
    }
}

/// The layer that copies.
pub(super) struct Copying {
    pub log: &'static Log,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Copying {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut copied = Copied::new(span.metadata());
        attributes.record(&mut copied);
        span.extensions_mut().insert(Arc::new(copied));
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(copied) = extensions.get_mut::<Arc<Copied>>() {
            record.record(Arc::<Copied>::make_mut(copied));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut copied = Copied::new(event.metadata());
        event.record(&mut copied);
        let around = context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root);
        let spans = around.filter_map(|span| span.extensions().get::<Arc<Copied>>().cloned()).collect();
        let message = Message { time: SystemTime::now(), event: copied, spans };
        self.log.ring.remember(&message);
        self.log.outlet.send(message);
    }
}
