//! Reads the journal of the services' units, through the system's own library: no program is run and
//! no file format is known here. What is shown of it lies in logs.rs.

use shared::paths::Service;

use crate::sys::Library;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since 1970.
    pub usec: u64,
    /// syslog's number.
    pub priority: u8,
    /// Who says it.
    pub program: String,
    /// What.
    pub text: String,
}

/// The messages of and about some units.
pub struct Journal {
    library: Library,
}

/// Fields that say where a message comes from, not what it is about.
const PLUMBING: &[&str] = &[
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "TARGET",
    "INVOCATION_ID",
    "USER_INVOCATION_ID",
    "JOB_ID",
    "JOB_TYPE",
    "JOB_RESULT",
    "USER_UNIT",
    "UNIT",
    "TID",
    "LEADER",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "GLIB_DOMAIN",
];
const PLUMBING_OF: &[&str] = &["_", "SYSLOG_", "SPAN_", "CPU_", "MEMORY_", "IO_", "IP_"];

impl Journal {
    /// Opens it; `None` where the system has no library for it.
    pub fn of(services: &[Service]) -> Option<Journal> {
        let mut library = Library::open()?;
        let uid = rustix::process::getuid().as_raw();
        for service in services {
            // What the unit's processes say, and what the manager says about the unit.
            for field in ["_SYSTEMD_USER_UNIT", "USER_UNIT"] {
                library.also(&[format!("{field}={}.service", service.unit()), format!("_UID={uid}")]);
            }
        }
        Some(Journal { library })
    }

    /// Whether there is any message: a journal may be there and unreadable, or keep nothing.
    pub fn knows_any(&self) -> bool {
        self.library.back(1) > 0
    }

    /// The newest messages, oldest first.
    pub fn last(&mut self, count: u32) -> Vec<Entry> {
        let found = self.library.back(u64::from(count.max(1)));
        let mut entries = Vec::new();
        for _ in 0..found {
            entries.extend(self.entry());
            if !self.library.next() {
                break;
            }
        }
        if count == 0 { Vec::new() } else { entries }
    }

    /// Waits for new messages; the library's error number when that fails.
    pub fn wait(&mut self) -> Result<Vec<Entry>, i32> {
        self.library.wait()?;
        let mut entries = Vec::new();
        while self.library.next() {
            entries.extend(self.entry());
        }
        Ok(entries)
    }

    fn entry(&self) -> Option<Entry> {
        let mut fields = self.library.fields();
        let mut take = |name: &str| {
            let at = fields.iter().position(|(field, _)| field == name)?;
            Some(fields.swap_remove(at).1)
        };
        let text = take("MESSAGE")?;
        let priority = take("PRIORITY").and_then(|number| number.parse().ok()).unwrap_or(6);
        let program = take("SYSLOG_IDENTIFIER").or_else(|| take("_COMM")).unwrap_or_default();
        fields.retain(|(name, _)| {
            !PLUMBING.contains(&name.as_str()) && !PLUMBING_OF.iter().any(|start| name.starts_with(start))
        });
        fields.sort();
        let more: String =
            fields.iter().map(|(name, value)| format!(" {}={value}", name.to_ascii_lowercase())).collect();
        Some(Entry { usec: self.library.time(), priority, program, text: text + &more })
    }
}
