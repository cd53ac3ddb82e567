//! The client-server API as clients of three platforms see it, a file for each area. Each test has
//! a server of its own, in this process, over a store in memory.

mod network;
mod rooms;
