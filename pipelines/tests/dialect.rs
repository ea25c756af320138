//! x
#[test]
fn builtin() {
    for job in pipelines::builtin_jobs() {
        match job.parse() { Ok(job) => println!("{}", job.explain()), Err(e) => panic!("{e}") }
    }
}
