//! Prints the page `docs/states.md` anew.

fn main() {
    print!("{}", onetrip_tests::states::page());
}
