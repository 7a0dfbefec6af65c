# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_netrng_global_optspecs
    string join \n v/verbose q/quiet h/help V/version
end

function __fish_netrng_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_netrng_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_netrng_using_subcommand
    set -l cmd (__fish_netrng_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c netrng -n "__fish_netrng_needs_command" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_needs_command" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_needs_command" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_needs_command" -s V -l version -d 'Print version'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "run" -d 'Run as the configuration\'s `mode` says; what init scripts call'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "server" -d 'Give the bytes of a generator to clients'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "client" -d 'Draw bytes from servers and give them to rngd, the kernel, a FIFO or stdout'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "check" -d 'Parse the configuration and print it in full, keys masked'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "genkey" -d 'Print a new private key'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "pubkey" -d 'Read a private key, print its public key'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "enroll" -d 'Make a client\'s keys, add it to the server, print its configuration'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "assess" -d 'Judge a source: its rate, tests and entropy, how many clients it carries'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "status" -d 'Show what this machine\'s server and client do: source, clients, upstreams, sink'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "setup" -d 'Print the steps that make this machine a server or a client, or do them'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "tap" -d 'Join stdin and stdout to this machine\'s server: a forced command for SSH'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "demo" -d 'Show it all on this machine: a server, two clients, live figures, a verdict'
complete -c netrng -n "__fish_netrng_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c netrng -n "__fish_netrng_using_subcommand run" -s c -l config -d 'Configuration file' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand run" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand run" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand run" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand server" -s c -l config -d 'Configuration file' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand server" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand server" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand server" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand client" -s c -l config -d 'Configuration file' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand client" -l wait-seeded -d 'End as soon as the kernel\'s generator is initialised: for units that must run before keys are made (with the sink rngd or kernel)'
complete -c netrng -n "__fish_netrng_using_subcommand client" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand client" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand client" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand check" -s c -l config -d 'Configuration file' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand check" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand check" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand check" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand genkey" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand genkey" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand genkey" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand pubkey" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand pubkey" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand pubkey" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand enroll" -s c -l config -d 'Configuration file' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand enroll" -s a -l address -d 'Where the client finds this server [default: an address it listens on]' -r
complete -c netrng -n "__fish_netrng_using_subcommand enroll" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand enroll" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand enroll" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s s -l seconds -d 'How long to read [default: 5; a file is read to its end]' -r
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s b -l bytes -d 'How many bytes to read, however long it takes' -r
complete -c netrng -n "__fish_netrng_using_subcommand assess" -l min-entropy -d 'What it claims, 0 to 8 bits a byte, as `min-entropy` of a server [default: what the kernel says, or 7]' -r
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s p -l plot -d 'Draw bits, byte values, rate into FILE.svg or FILE.png' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand assess" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand status" -s c -l config -d 'Configuration of the one to ask [default: all that run]' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand status" -l socket -d 'Its status-socket' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand status" -l json -d 'As JSON, one object a daemon'
complete -c netrng -n "__fish_netrng_using_subcommand status" -l prometheus -d 'As Prometheus\'s text, for node_exporter\'s textfile collector'
complete -c netrng -n "__fish_netrng_using_subcommand status" -l watch -d 'Anew every second, with graphs, until Ctrl-C'
complete -c netrng -n "__fish_netrng_using_subcommand status" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand status" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand status" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand setup" -s c -l config -d 'The configuration to install; a client\'s is from `netrng enroll`' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand setup" -l system -d 'debian, rhel, gentoo, alpine, openwrt or freebsd [default: as found]' -r
complete -c netrng -n "__fish_netrng_using_subcommand setup" -l init -d 'systemd, procd, openrc, runit, upstart, rcd or sysvinit [default: as found]' -r
complete -c netrng -n "__fish_netrng_using_subcommand setup" -l root -d 'Set up the system in this folder, as a mounted image; nothing is started' -r -F
complete -c netrng -n "__fish_netrng_using_subcommand setup" -l apply -d 'Do what is not done yet (Debian and its kin; root)'
complete -c netrng -n "__fish_netrng_using_subcommand setup" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand setup" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand setup" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand tap" -l name -d 'Which of this user\'s clients it is, if it is several' -r
complete -c netrng -n "__fish_netrng_using_subcommand tap" -l socket -d 'The server\'s tap-socket' -r
complete -c netrng -n "__fish_netrng_using_subcommand tap" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand tap" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand tap" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand demo" -s s -l seconds -d 'How long to draw' -r
complete -c netrng -n "__fish_netrng_using_subcommand demo" -s v -l verbose -d 'Log more: peers\' faults and every attempt as well'
complete -c netrng -n "__fish_netrng_using_subcommand demo" -s q -l quiet -d 'Log only what needs attention'
complete -c netrng -n "__fish_netrng_using_subcommand demo" -s h -l help -d 'Print help'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "run" -d 'Run as the configuration\'s `mode` says; what init scripts call'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "server" -d 'Give the bytes of a generator to clients'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "client" -d 'Draw bytes from servers and give them to rngd, the kernel, a FIFO or stdout'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "check" -d 'Parse the configuration and print it in full, keys masked'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "genkey" -d 'Print a new private key'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "pubkey" -d 'Read a private key, print its public key'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "enroll" -d 'Make a client\'s keys, add it to the server, print its configuration'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "assess" -d 'Judge a source: its rate, tests and entropy, how many clients it carries'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "status" -d 'Show what this machine\'s server and client do: source, clients, upstreams, sink'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "setup" -d 'Print the steps that make this machine a server or a client, or do them'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "tap" -d 'Join stdin and stdout to this machine\'s server: a forced command for SSH'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "demo" -d 'Show it all on this machine: a server, two clients, live figures, a verdict'
complete -c netrng -n "__fish_netrng_using_subcommand help; and not __fish_seen_subcommand_from run server client check genkey pubkey enroll assess status setup tap demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
