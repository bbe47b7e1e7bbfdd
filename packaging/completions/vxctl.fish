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
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "drain" -d 'Have services finish what runs, take nothing new, and leave'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "start" -d 'Start services and their sockets'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "stop" -d 'Stop services and their sockets, so that no connect starts them again'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "restart" -d 'Restart services; their sockets stay, and running builds wait'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "log-level" -d 'Show or change how much running services log, until they leave'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "logs" -d 'Show what the services logged'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "cas" -d 'Look after the store of vx-casd'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "doctor" -d 'Look for what keeps vx from working, or from working well, and say the cures'
complete -c vxctl -n "__fish_vxctl_needs_command" -f -a "agents" -d 'The services as agents of launchd (macOS)'
complete -c vxctl -n "__fish_vxctl_using_subcommand status" -l json -d 'Print one JSON object, for programs'
complete -c vxctl -n "__fish_vxctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand start" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand restart" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand log-level" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand logs" -s n -l lines -d 'How many lines, newest last' -r
complete -c vxctl -n "__fish_vxctl_using_subcommand logs" -s f -l follow -d 'Go on showing new lines'
complete -c vxctl -n "__fish_vxctl_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and not __fish_seen_subcommand_from verify gc stats" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and not __fish_seen_subcommand_from verify gc stats" -f -a "verify" -d 'Read every blob and every result, and say what is damaged'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and not __fish_seen_subcommand_from verify gc stats" -f -a "gc" -d 'Bring the store down to its budget now'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and not __fish_seen_subcommand_from verify gc stats" -f -a "stats" -d 'Show what is in the store'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from verify" -l json -d 'Print one JSON object, for programs'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from gc" -l json -d 'Print one JSON object, for programs'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from stats" -l json -d 'Print one JSON object, for programs'
complete -c vxctl -n "__fish_vxctl_using_subcommand cas; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vxctl -n "__fish_vxctl_using_subcommand agents; and not __fish_seen_subcommand_from print install" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand agents; and not __fish_seen_subcommand_from print install" -f -a "print" -d 'Print the property lists'
complete -c vxctl -n "__fish_vxctl_using_subcommand agents; and not __fish_seen_subcommand_from print install" -f -a "install" -d 'Write them to ~/Library/LaunchAgents and print what to type (macOS)'
complete -c vxctl -n "__fish_vxctl_using_subcommand agents; and __fish_seen_subcommand_from print" -s h -l help -d 'Print help'
complete -c vxctl -n "__fish_vxctl_using_subcommand agents; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
