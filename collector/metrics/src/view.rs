//! Borrowed views over the bytes of one metrics request.
