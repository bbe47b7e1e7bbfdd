//! The program's first function on Linux, in place of the standard library's. That one prepares
//! for overflowing stacks with a dozen system calls, a twentieth of a ping; here a stack that
//! overflows simply ends the program.

use std::{
    ffi::{CStr, OsStr, OsString, c_char, c_int},
    os::unix::ffi::OsStrExt,
};

/// What libc calls.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    open_standard_streams();
    let count = usize::try_from(argc).unwrap_or(0);
    // SAFETY: libc hands over `argc` pointers to strings that live as long as the program.
    let word = |at: usize| unsafe { CStr::from_ptr(*argv.add(at)) };
    let words: Vec<OsString> = (1..count).map(|at| OsStr::from_bytes(word(at).to_bytes()).to_owned()).collect();
    c_int::from(crate::run(words))
}

/// A closed standard descriptor would be the next socket's number, and be handed over as such.
fn open_standard_streams() {
    let stream = |fd| libc::pollfd { fd, events: 0, revents: 0 };
    let mut streams = [0, 1, 2].map(stream);
    // SAFETY: the array is alive and as long as said.
    unsafe { libc::poll(streams.as_mut_ptr(), 3, 0) };
    for stream in streams {
        if stream.revents & libc::POLLNVAL != 0 {
            // SAFETY: the path is a string with its zero; the lowest free number is this one.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}
