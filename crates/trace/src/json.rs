//! A record as JSON, to be kept and drawn again.

use core::time::Duration;

use serde_json::{Value, json};

use crate::{Mark, Party, Record, Write};

const VERSION: u64 = 1;

/// Why JSON is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is not JSON.
    #[error("expected JSON: {0}")]
    Syntax(String),
    /// It was written for another version.
    #[error("expected a record of version {VERSION}, got version {0}")]
    Version(u64),
    /// A value that must be there is not, or is of another kind.
    #[error("{place}: expected {expected}")]
    Value {
        /// Where, as `writes[3].at_us`.
        place: String,
        /// What should have been there.
        expected: &'static str,
    },
}

impl Record {
    /// As one line of JSON, of version 1:
    ///
    /// ```json
    /// {"version": 1, "title": "c2s-quickstart-starttls-plain",
    ///  "writes": [{"from": "initiator", "at_us": 100000, "arrives_us": 150000, "half_trips": 2,
    ///              "units": ["stream header", "starttls"], "secured": false, "bytes": 153}],
    ///  "marks": [{"at_us": 300000, "half_trips": 6, "label": "online: stanzas may be sent"}]}
    /// ```
    ///
    /// Times are whole microseconds since the connection was begun; `half_trips` counts one-way trips, TCP's own included. Keys that
    /// are not known are passed over, so that a later writer may add some; another `version` is refused.
    #[must_use]
    pub fn to_json(&self) -> String {
        let writes = self.writes.iter().map(|write| {
            json!({
                "from": match write.from {
                    Party::Initiator => "initiator",
                    Party::Receiver => "receiver",
                },
                "at_us": micros(write.at),
                "arrives_us": micros(write.arrives),
                "half_trips": write.half_trips,
                "units": write.units,
                "secured": write.secured,
                "bytes": write.bytes,
            })
        });
        let marks = self.marks.iter().map(|mark| {
            json!({"at_us": micros(mark.at), "half_trips": mark.half_trips, "label": mark.label})
        });
        json!({
            "version": VERSION,
            "title": self.title,
            "writes": writes.collect::<Vec<_>>(),
            "marks": marks.collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// From JSON.
    ///
    /// # Errors
    /// [`JsonError`] says what is wrong, and where.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        let root = Place {
            value: &value,
            path: String::new(),
        };
        match root.get("version").number()? {
            VERSION => {}
            other => return Err(JsonError::Version(other)),
        }
        Ok(Self {
            title: root.get("title").text()?,
            writes: root.get("writes").each(write)?,
            marks: root.get("marks").each(mark)?,
        })
    }
}

fn write(place: &Place<'_>) -> Result<Write, JsonError> {
    let from = place.get("from");
    Ok(Write {
        from: match from.text()?.as_str() {
            "initiator" => Party::Initiator,
            "receiver" => Party::Receiver,
            _ => return Err(from.wrong("\"initiator\" or \"receiver\"")),
        },
        at: place.get("at_us").time()?,
        arrives: place.get("arrives_us").time()?,
        half_trips: place.get("half_trips").small()?,
        units: place.get("units").each(|place| place.text())?,
        secured: place.get("secured").truth()?,
        bytes: place.get("bytes").small()?,
    })
}

fn mark(place: &Place<'_>) -> Result<Mark, JsonError> {
    Ok(Mark {
        at: place.get("at_us").time()?,
        half_trips: place.get("half_trips").small()?,
        label: place.get("label").text()?,
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A value, and where it stands.
struct Place<'a> {
    value: &'a Value,
    path: String,
}

impl Place<'_> {
    fn get(&self, key: &str) -> Self {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        Self {
            value: self.value.get(key).unwrap_or(&Value::Null),
            path,
        }
    }

    fn wrong(&self, expected: &'static str) -> JsonError {
        JsonError::Value {
            place: self.path.clone(),
            expected,
        }
    }

    fn text(&self) -> Result<String, JsonError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong("a text"))?;
        Ok(text.to_owned())
    }

    fn truth(&self) -> Result<bool, JsonError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong("true or false"))
    }

    fn number(&self) -> Result<u64, JsonError> {
        self.value
            .as_u64()
            .ok_or_else(|| self.wrong("a whole number"))
    }

    fn small<N: TryFrom<u64>>(&self) -> Result<N, JsonError> {
        N::try_from(self.number()?).map_err(|_| self.wrong("a smaller number"))
    }

    fn time(&self) -> Result<Duration, JsonError> {
        self.number().map(Duration::from_micros)
    }

    fn each<T>(
        &self,
        read: impl Fn(&Place<'_>) -> Result<T, JsonError>,
    ) -> Result<Vec<T>, JsonError> {
        let values = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let place = |(index, value)| Place {
            value,
            path: format!("{}[{index}]", self.path),
        };
        values
            .iter()
            .enumerate()
            .map(place)
            .map(|place| read(&place))
            .collect()
    }
}
