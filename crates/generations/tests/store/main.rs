//! A store in a temporary folder, as the build machine, the initrd and the daemon use it.

mod adding;
mod blessing;
mod choosing;
mod collecting;
mod damage;
mod staging;
mod trial;
mod walk;
