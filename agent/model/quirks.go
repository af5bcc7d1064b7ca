package model

// What the sources leave open about families of phones.

// usualFirmware is a firmware that the family was seen with. Others are set with
// Config.Firmware of the agent.
var usualFirmware = map[Family]string{
	F79: "9.4.2", F78: "12.1.1", F88: "12.8.1", F8821: "11.0.5", F89: "9.4.2", F99: "9.4.2", F69: "9.4.1",
}

// keptMessages is documented for the 88xx (30) and for the web pages of others
// (10). The number of the 78xx is assumed to be that of the 88xx.
var keptMessages = map[Family]int{F79: 10, F78: 30, F88: 30, F8821: 30, F89: 10, F99: 30, F69: 10}
