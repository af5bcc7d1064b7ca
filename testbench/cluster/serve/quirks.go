package serve

// alarms are the alarms of phones that the cluster knows, with their parameters in the
// order of the sources: traces of DeviceTLInfo, and a listing of
// LastOutOfServiceInformation. No other alarm was found in a source; one of another
// name, or a parameter of another name, goes into the event log as quoted text. To let
// the cluster know more, add it here: what it computes itself (ITLStatus) must not
// stand in this table.
var alarms = map[string][]string{
	"DeviceTLInfo": {"DeviceName", "IPv4Address", "IPv6Address", "CTL_Signature", "CTL_TFTP_Server",
		"ITL_Signature", "ITL_TFTP_Server", "StatusCode"},
	"LastOutOfServiceInformation": {"DeviceName", "DeviceIPv4Address", "IPv4DefaultGateway", "DeviceIPv6Address",
		"IPv6DefaultGateway", "ModelNumber", "NeighborIPv4Address", "NeighborIPv6Address", "NeighborDeviceID",
		"NeighborPortID", "DHCPv4Status", "DHCPv6Status", "TFTPCfgStatus", "DNSStatusUnifiedCM1", "DNSStatusUnifiedCM2",
		"DNSStatusUnifiedCM3", "VoiceVLAN", "UnifiedCMIPAddress", "LocalPort", "TimeStamp", "ReasonForOutOfService",
		"LastProtocolEventSent", "LastProtocolEventReceived", "ReasonForOutOfServiceText", "ActiveInterface"},
}

// unknownAlarm is the name of the event for an alarm that is not known.
const unknownAlarm = "PhoneAlarm"
