"""What a client did in one step, as one line of JSON: the counterpart of step.ts."""
import datetime, decimal, json, sys, traceback, uuid


def plain(value):
    """A value as JSON has it. Types that JSON lacks are named, so that another type is another result."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (datetime.date, decimal.Decimal)):
        return str(value)
    if isinstance(value, (datetime.timedelta, datetime.time, uuid.UUID)):
        return {type(value).__name__: str(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)) or hasattr(value, "__iter__"):
        return [plain(each) for each in value]
    return {type(value).__name__: str(value)}


def _say(line):
    print(json.dumps(line), flush=True)


def said(name, result):
    _say({"step": name, "result": plain(result)})


def failed(name, error):
    sqlstate = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    origin = getattr(error, "orig", None) or error
    if sqlstate is None:  # Not the server's: somebody's mistake, perhaps this program's.
        traceback.print_exc(file=sys.stderr)
    _say({"step": name, "error": {"sqlstate": sqlstate or type(error).__name__, "message": str(origin).partition("\n")[0]}})
