"""Checks property lists against a table of launchd.plist(5): every key is known and has the type the manual gives it."""

import plistlib
import sys

SOCKET = {
    "SockType": {"stream", "dgram", "seqpacket"},
    "SockPassive": bool,
    "SockNodeName": str,
    "SockServiceName": (str, int),
    "SockFamily": {"IPv4", "IPv6", "IPv4v6", "Unix"},
    "SockProtocol": {"TCP", "UDP"},
    "SockPathName": str,
    "SecureSocketWithKey": str,
    "SockPathOwner": int,
    "SockPathGroup": int,
    "SockPathMode": int,
    "Bonjour": (bool, str, list),
    "MulticastGroup": str,
    "ReceivePacketInfo": bool,
}
LIMITS = {
    name: int
    for name in ("Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses", "ResidentSetSize", "Stack")
}
KEEP_ALIVE = {
    "SuccessfulExit": bool,
    "NetworkState": bool,
    "PathState": dict,
    "OtherJobEnabled": dict,
    "Crashed": bool,
}
AGENT = {
    "Label": str,
    "Disabled": bool,
    "Program": str,
    "ProgramArguments": list,
    "EnableGlobbing": bool,
    "EnableTransactions": bool,
    "EnablePressuredExit": bool,
    "OnDemand": bool,
    "ServiceIPC": bool,
    "KeepAlive": KEEP_ALIVE,
    "RunAtLoad": bool,
    "RootDirectory": str,
    "WorkingDirectory": str,
    "EnvironmentVariables": dict,
    "Umask": (int, str),
    "TimeOut": int,
    "ExitTimeOut": int,
    "ThrottleInterval": int,
    "InitGroups": bool,
    "WatchPaths": list,
    "QueueDirectories": list,
    "StartOnMount": bool,
    "StartInterval": int,
    "StartCalendarInterval": (dict, list),
    "StandardInPath": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "Debug": bool,
    "WaitForDebugger": bool,
    "SoftResourceLimits": LIMITS,
    "HardResourceLimits": LIMITS,
    "Nice": int,
    "ProcessType": {"Background", "Standard", "Adaptive", "Interactive"},
    "AbandonProcessGroup": bool,
    "LowPriorityIO": bool,
    "LowPriorityBackgroundIO": bool,
    "LaunchOnlyOnce": bool,
    "MachServices": dict,
    "Sockets": dict,
    "LaunchEvents": dict,
    "SessionCreate": bool,
    "LegacyTimers": bool,
}


def check(value, expected, path):
    """Says what is wrong with one value."""
    if isinstance(expected, set):
        return [] if value in expected else [f"{path} is {value!r}, not one of {sorted(expected)}"]
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return [f"{path} is no dictionary"]
        wrong = [f"{path}/{key} is no key of launchd's" for key in value if key not in expected]
        return wrong + [what for key in value if key in expected for what in check(value[key], expected[key], f"{path}/{key}")]
    kinds = expected if isinstance(expected, tuple) else (expected,)
    # A bool is an int to python, and not to launchd.
    is_kind = any(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for kind in kinds)
    return [] if is_kind else [f"{path} is {value!r}, not {expected}"]


def main():
    wrong = []
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            agent = plistlib.load(file)
        wrong += check(agent, AGENT, path)
        for name, socket in agent["Sockets"].items():
            wrong += check(socket, SOCKET, f"{path}/Sockets/{name}")
        for key in ("Label", "ProgramArguments"):
            if key not in agent:
                wrong.append(f"{path} lacks {key}")
        if not all(isinstance(word, str) for word in agent["ProgramArguments"]):
            wrong.append(f"{path}/ProgramArguments holds more than strings")
        if not all(isinstance(value, str) for value in agent.get("EnvironmentVariables", {}).values()):
            wrong.append(f"{path}/EnvironmentVariables holds more than strings")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
