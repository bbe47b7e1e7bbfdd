# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vx_global_optspecs
    string join \n h/help V/version
end

function __fish_vx_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vx_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vx_using_subcommand
    set -l cmd (__fish_vx_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vx -n "__fish_vx_needs_command" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_needs_command" -s V -l version -d 'Print version'
complete -c vx -n "__fish_vx_needs_command" -f -a "build" -d 'Compile the packages of a workspace and what they depend on'
complete -c vx -n "__fish_vx_needs_command" -f -a "b" -d 'Compile the packages of a workspace and what they depend on'
complete -c vx -n "__fish_vx_needs_command" -f -a "check" -d 'Find the errors in the packages of a workspace without making programs of them'
complete -c vx -n "__fish_vx_needs_command" -f -a "c" -d 'Find the errors in the packages of a workspace without making programs of them'
complete -c vx -n "__fish_vx_needs_command" -f -a "clippy" -d 'Find errors as `check` does, and lint the members of the workspace with clippy'
complete -c vx -n "__fish_vx_needs_command" -f -a "run" -d 'Compile a program of the workspace and run it'
complete -c vx -n "__fish_vx_needs_command" -f -a "r" -d 'Compile a program of the workspace and run it'
complete -c vx -n "__fish_vx_needs_command" -f -a "test" -d 'Compile the tests of a workspace and run them'
complete -c vx -n "__fish_vx_needs_command" -f -a "t" -d 'Compile the tests of a workspace and run them'
complete -c vx -n "__fish_vx_needs_command" -f -a "bench" -d 'Compile the benchmarks of a workspace and run them'
complete -c vx -n "__fish_vx_needs_command" -f -a "doc" -d 'Write the documentation of the packages of a workspace and of what they depend on'
complete -c vx -n "__fish_vx_needs_command" -f -a "d" -d 'Write the documentation of the packages of a workspace and of what they depend on'
complete -c vx -n "__fish_vx_needs_command" -f -a "fetch" -d 'Fetch what a workspace depends on'
complete -c vx -n "__fish_vx_needs_command" -f -a "clean" -d 'Remove what was built in a workspace'
complete -c vx -n "__fish_vx_needs_command" -f -a "why" -d 'Say why units of the last build were run, or that they were found'
complete -c vx -n "__fish_vx_needs_command" -f -a "audit" -d 'Say what build scripts and macros opened, and what they tried and were refused'
complete -c vx -n "__fish_vx_needs_command" -f -a "ping" -d 'Ask whether the daemon is there'
complete -c vx -n "__fish_vx_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vx -n "__fish_vx_using_subcommand build" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand build" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand build" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand build" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand build" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand build" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand build" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand build" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand build" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand build" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand build" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand build" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand build" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand build" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand build" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand build" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand build" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand build" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand build" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand build" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand build" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand build" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand build" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand b" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand b" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand b" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand b" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand b" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand b" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand b" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand b" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand b" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand b" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand b" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand b" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand b" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand b" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand b" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand b" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand b" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand b" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand b" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand b" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand b" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand b" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand b" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand check" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand check" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand check" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand check" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand check" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand check" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand check" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand check" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand check" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand check" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand check" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand check" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand check" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand check" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand check" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand check" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand check" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand check" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand check" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand check" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand check" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand check" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand check" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand c" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand c" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand c" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand c" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand c" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand c" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand c" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand c" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand c" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand c" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand c" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand c" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand c" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand c" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand c" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand c" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand c" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand c" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand c" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand c" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand c" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand c" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand c" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand clippy" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand clippy" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand clippy" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand clippy" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand clippy" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand clippy" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand clippy" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand clippy" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand clippy" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand clippy" -l no-deps -d 'Lint only the chosen packages, not the members that they depend on'
complete -c vx -n "__fish_vx_using_subcommand clippy" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand run" -s p -l package -d 'Package with the program (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l bin -d 'The binary to run' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l example -d 'The example to run' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand run" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand run" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand run" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand run" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand run" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand run" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand run" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand run" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand run" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand run" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand run" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand run" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand run" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand run" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand run" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand r" -s p -l package -d 'Package with the program (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l bin -d 'The binary to run' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l example -d 'The example to run' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand r" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand r" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand r" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand r" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand r" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand r" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand r" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand r" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand r" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand r" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand r" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand r" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand r" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand r" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand r" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand test" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand test" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand test" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand test" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand test" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand test" -l no-run -d 'Compile them, but do not run them'
complete -c vx -n "__fish_vx_using_subcommand test" -l no-fail-fast -d 'Run all of them, also when one has failed'
complete -c vx -n "__fish_vx_using_subcommand test" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand test" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand test" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand test" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand test" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand test" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand test" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand test" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand test" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand test" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand test" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand test" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand test" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand test" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand test" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand test" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand test" -l doc -d 'Test only the documentation of libraries'
complete -c vx -n "__fish_vx_using_subcommand test" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand t" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand t" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand t" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand t" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand t" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand t" -l no-run -d 'Compile them, but do not run them'
complete -c vx -n "__fish_vx_using_subcommand t" -l no-fail-fast -d 'Run all of them, also when one has failed'
complete -c vx -n "__fish_vx_using_subcommand t" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand t" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand t" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand t" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand t" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand t" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand t" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand t" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand t" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand t" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand t" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand t" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand t" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand t" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand t" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand t" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand t" -l doc -d 'Test only the documentation of libraries'
complete -c vx -n "__fish_vx_using_subcommand t" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand bench" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l test -d 'Only the specified test target' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l bench -d 'Only the specified bench target' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand bench" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand bench" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand bench" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand bench" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand bench" -l no-run -d 'Compile them, but do not run them'
complete -c vx -n "__fish_vx_using_subcommand bench" -l no-fail-fast -d 'Run all of them, also when one has failed'
complete -c vx -n "__fish_vx_using_subcommand bench" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand bench" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand bench" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand bench" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand bench" -l tests -d 'All targets that have `test = true` set'
complete -c vx -n "__fish_vx_using_subcommand bench" -l benches -d 'All targets that have `bench = true` set'
complete -c vx -n "__fish_vx_using_subcommand bench" -l all-targets -d 'All targets'
complete -c vx -n "__fish_vx_using_subcommand bench" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand bench" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand bench" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand bench" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand bench" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand bench" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand bench" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand bench" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand bench" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand doc" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand doc" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand doc" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand doc" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand doc" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand doc" -l open -d 'Open the documentation in a browser afterwards'
complete -c vx -n "__fish_vx_using_subcommand doc" -l no-deps -d 'Leave dependencies out'
complete -c vx -n "__fish_vx_using_subcommand doc" -l document-private-items -d 'Document private items too'
complete -c vx -n "__fish_vx_using_subcommand doc" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand doc" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand doc" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand doc" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand doc" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand doc" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand doc" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand doc" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand doc" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand doc" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand doc" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand doc" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand doc" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand doc" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand doc" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand d" -s p -l package -d 'Only this package (see `cargo help pkgid`)' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l exclude -d 'Exclude packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l bin -d 'Only the specified binary' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l example -d 'Only the specified example' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -s F -l features -d 'Space- or comma-separated list of features to activate' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l target -d 'For the target triple' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l target-dir -d 'Directory for all generated artifacts' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand d" -s j -l jobs -d 'How many actions may run at once; a negative number counts down from the number of cores' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand d" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand d" -l message-format -d 'Form of messages' -r -f -a "human\t''
short\t''
json\t''
json-diagnostic-short\t''
json-diagnostic-rendered-ansi\t''
json-render-diagnostics\t''"
complete -c vx -n "__fish_vx_using_subcommand d" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand d" -l open -d 'Open the documentation in a browser afterwards'
complete -c vx -n "__fish_vx_using_subcommand d" -l no-deps -d 'Leave dependencies out'
complete -c vx -n "__fish_vx_using_subcommand d" -l document-private-items -d 'Document private items too'
complete -c vx -n "__fish_vx_using_subcommand d" -l workspace -l all -d 'All packages of the workspace'
complete -c vx -n "__fish_vx_using_subcommand d" -l lib -d 'Only this package\'s library'
complete -c vx -n "__fish_vx_using_subcommand d" -l bins -d 'All binaries'
complete -c vx -n "__fish_vx_using_subcommand d" -l examples -d 'All examples'
complete -c vx -n "__fish_vx_using_subcommand d" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand d" -l keep-going -d 'Build everything that does not need what failed'
complete -c vx -n "__fish_vx_using_subcommand d" -l all-features -d 'Activate all available features'
complete -c vx -n "__fish_vx_using_subcommand d" -l no-default-features -d 'Do not activate the `default` feature'
complete -c vx -n "__fish_vx_using_subcommand d" -l ignore-rust-version -d 'Ignore `rust-version` specification in packages'
complete -c vx -n "__fish_vx_using_subcommand d" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand d" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand d" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand d" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand d" -s v -l verbose -d 'Say for each unit whether it was found or built; twice: show what build scripts print'
complete -c vx -n "__fish_vx_using_subcommand d" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand fetch" -l target -d 'Fetch what this target needs; without, what any does' -r -f
complete -c vx -n "__fish_vx_using_subcommand fetch" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand fetch" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand fetch" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand fetch" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand fetch" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand fetch" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand fetch" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand fetch" -s v -l verbose -d 'Say more'
complete -c vx -n "__fish_vx_using_subcommand fetch" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand clean" -s p -l package -d 'Only what was made of this package' -r -f
complete -c vx -n "__fish_vx_using_subcommand clean" -l target -d 'Only what was made for this target, of chosen packages' -r -f
complete -c vx -n "__fish_vx_using_subcommand clean" -l target-dir -d 'The folder of all outputs' -r -f -a "(__fish_complete_directories)"
complete -c vx -n "__fish_vx_using_subcommand clean" -l profile -d 'With the specified profile' -r -f
complete -c vx -n "__fish_vx_using_subcommand clean" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand clean" -l config -d 'Override a configuration value' -r -f
complete -c vx -n "__fish_vx_using_subcommand clean" -l color -d 'Colours in what is said' -r -f -a "auto\t''
always\t''
never\t''"
complete -c vx -n "__fish_vx_using_subcommand clean" -l workspace -d 'Only what was made of the members of the workspace'
complete -c vx -n "__fish_vx_using_subcommand clean" -l doc -d 'Only the documentation'
complete -c vx -n "__fish_vx_using_subcommand clean" -s n -l dry-run -d 'Say what would be removed, and remove nothing'
complete -c vx -n "__fish_vx_using_subcommand clean" -s r -l release -d 'In release mode, with optimisations'
complete -c vx -n "__fish_vx_using_subcommand clean" -l locked -d 'Assert that Cargo.lock stays as it is'
complete -c vx -n "__fish_vx_using_subcommand clean" -l offline -d 'Do not access the network'
complete -c vx -n "__fish_vx_using_subcommand clean" -l frozen -d '--locked and --offline'
complete -c vx -n "__fish_vx_using_subcommand clean" -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c vx -n "__fish_vx_using_subcommand clean" -s v -l verbose -d 'Say more'
complete -c vx -n "__fish_vx_using_subcommand clean" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand why" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand why" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand audit" -l manifest-path -d 'Path to Cargo.toml' -r -F
complete -c vx -n "__fish_vx_using_subcommand audit" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand ping" -s h -l help -d 'Print help'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "build" -d 'Compile the packages of a workspace and what they depend on'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "check" -d 'Find the errors in the packages of a workspace without making programs of them'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "clippy" -d 'Find errors as `check` does, and lint the members of the workspace with clippy'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "run" -d 'Compile a program of the workspace and run it'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "test" -d 'Compile the tests of a workspace and run them'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "bench" -d 'Compile the benchmarks of a workspace and run them'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "doc" -d 'Write the documentation of the packages of a workspace and of what they depend on'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "fetch" -d 'Fetch what a workspace depends on'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "clean" -d 'Remove what was built in a workspace'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "why" -d 'Say why units of the last build were run, or that they were found'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "audit" -d 'Say what build scripts and macros opened, and what they tried and were refused'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "ping" -d 'Ask whether the daemon is there'
complete -c vx -n "__fish_vx_using_subcommand help; and not __fish_seen_subcommand_from build check clippy run test bench doc fetch clean why audit ping help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
