//! What has to be asked of C libraries: the journal, through libsystemd where that is installed
//! (loaded when it is wanted, so that vxctl runs without it), and local time.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::MaybeUninit,
    ptr,
};

/// `Nov 21 04:46:22` as the person's clock has it.
pub fn local_time(usec: u64) -> String {
    let seconds = libc::time_t::try_from(usec / 1_000_000).unwrap_or_default();
    let mut parts = MaybeUninit::uninit();
    // SAFETY: both pointers are to values of ours that outlive the call; the result is read only when it is not null.
    let parts = unsafe {
        if libc::localtime_r(&raw const seconds, parts.as_mut_ptr()).is_null() {
            return seconds.to_string();
        }
        parts.assume_init()
    };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = usize::try_from(parts.tm_mon).ok().and_then(|month| months.get(month)).unwrap_or(&"?");
    format!("{month} {:02} {:02}:{:02}:{:02}", parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec)
}

type Handle = *mut c_void;

/// The functions of sd-journal(3) that are used, as its header declares them.
struct Functions {
    open: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
    close: unsafe extern "C" fn(Handle),
    add_match: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    add_disjunction: unsafe extern "C" fn(Handle) -> c_int,
    seek_tail: unsafe extern "C" fn(Handle) -> c_int,
    previous_skip: unsafe extern "C" fn(Handle, u64) -> c_int,
    next: unsafe extern "C" fn(Handle) -> c_int,
    wait: unsafe extern "C" fn(Handle, u64) -> c_int,
    get_realtime_usec: unsafe extern "C" fn(Handle, *mut u64) -> c_int,
    restart_data: unsafe extern "C" fn(Handle),
    enumerate_data: unsafe extern "C" fn(Handle, *mut *const c_void, *mut usize) -> c_int,
}

/// Only files of this machine.
const LOCAL_ONLY: c_int = 1;

/// An open journal.
pub struct Library {
    functions: Functions,
    journal: Handle,
}

impl Library {
    /// Loads the library and opens the journal.
    pub fn open() -> Option<Library> {
        let functions = Functions::load()?;
        let mut journal = ptr::null_mut();
        // SAFETY: the function is the library's own; it writes one pointer.
        let opened = unsafe { (functions.open)(&raw mut journal, LOCAL_ONLY) };
        (opened >= 0 && !journal.is_null()).then_some(Library { functions, journal })
    }

    /// Admits messages that have all of these fields.
    pub fn also(&mut self, fields: &[String]) {
        for field in fields {
            // SAFETY: the journal is open; the library copies what the pointer and length name.
            unsafe { (self.functions.add_match)(self.journal, field.as_ptr().cast(), field.len()) };
        }
        // SAFETY: the journal is open.
        unsafe { (self.functions.add_disjunction)(self.journal) };
    }

    /// Goes so many messages back from the newest; how many there were.
    pub fn back(&self, count: u64) -> u64 {
        // SAFETY: the journal is open.
        let found = unsafe {
            (self.functions.seek_tail)(self.journal);
            (self.functions.previous_skip)(self.journal, count)
        };
        u64::try_from(found).unwrap_or(0)
    }

    /// Goes to the next message, if there is one.
    pub fn next(&mut self) -> bool {
        // SAFETY: the journal is open.
        unsafe { (self.functions.next)(self.journal) > 0 }
    }

    /// Waits until the journal has changed.
    pub fn wait(&mut self) -> Result<(), i32> {
        // SAFETY: the journal is open; the number is the library's word for "without a limit".
        let woken = unsafe { (self.functions.wait)(self.journal, u64::MAX) };
        if woken < 0 { Err(-woken) } else { Ok(()) }
    }

    /// When the current message arrived, in microseconds since 1970.
    pub fn time(&self) -> u64 {
        let mut usec = 0;
        // SAFETY: the journal is open; it writes one number.
        unsafe { (self.functions.get_realtime_usec)(self.journal, &raw mut usec) };
        usec
    }

    /// The fields of the current message.
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        // SAFETY: the journal is open.
        unsafe { (self.functions.restart_data)(self.journal) };
        loop {
            let (mut data, mut length) = (ptr::null(), 0);
            // SAFETY: the journal is open; it writes a pointer and a length, which are good until the next call.
            let bytes = unsafe {
                if (self.functions.enumerate_data)(self.journal, &raw mut data, &raw mut length) <= 0 || data.is_null()
                {
                    return fields;
                }
                std::slice::from_raw_parts(data.cast::<u8>(), length)
            };
            let text = String::from_utf8_lossy(bytes);
            fields.extend(text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the journal is open and not used afterwards.
        unsafe { (self.functions.close)(self.journal) };
    }
}

impl Functions {
    #[expect(clippy::missing_transmute_annotations, reason = "the type is that of the field it goes to")]
    fn load() -> Option<Functions> {
        // SAFETY: the name ends with a zero. The library is never unloaded, so its functions stay.
        let library = unsafe { libc::dlopen(c"libsystemd.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return None;
        }
        let find = |name: &CStr| {
            // SAFETY: the library is open and the name ends with a zero.
            let found = unsafe { libc::dlsym(library, name.as_ptr() as *const c_char) };
            (!found.is_null()).then_some(found)
        };
        macro_rules! function {
            ($name:literal) => {{
                let name = CString::new(concat!("sd_journal_", $name)).ok()?;
                let found = find(&name)?;
                // SAFETY: the function of this name has the type that its header declares, as in `Functions`.
                unsafe { std::mem::transmute(found) }
            }};
        }
        Some(Functions {
            open: function!("open"),
            close: function!("close"),
            add_match: function!("add_match"),
            add_disjunction: function!("add_disjunction"),
            seek_tail: function!("seek_tail"),
            previous_skip: function!("previous_skip"),
            next: function!("next"),
            wait: function!("wait"),
            get_realtime_usec: function!("get_realtime_usec"),
            restart_data: function!("restart_data"),
            enumerate_data: function!("enumerate_data"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_month_day_and_clock() {
        let text = local_time(1_795_236_382_000_000);
        assert_eq!(text.len(), "Nov 21 04:46:22".len(), "{text}");
        assert!(text.starts_with("Nov 2"), "{text}");
    }
}
