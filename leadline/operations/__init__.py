"""What operators see and do: status, gauges, dead letters, timelines, holds, the audit trail."""
