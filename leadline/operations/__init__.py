"""What operators see and order: state, gauges, dead letters, timelines, holds, the audit trail."""
