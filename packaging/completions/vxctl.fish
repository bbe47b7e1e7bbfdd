# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vxctl_global_optspecs
    string join \n h/help V/version
end

function __fish_vxctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vxctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vxctl_using_subcommand
    set -l cmd (__fish_vxctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vxctl -n "__fish_vxctl_needs_command" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_needs_command" -s V -l version -d 'Print version'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "status" -d 'Show each service: state, process, uptime, version and what it is doing'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "reload" -d 'Have the running services read vx.toml again'
complete -c vxctl -n "__fish_vxctl_using_subcommand status" -l json -d 'Print one JSON object, for programs'
complete -c vxctl -n "__fish_vxctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
