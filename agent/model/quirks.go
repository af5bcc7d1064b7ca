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

// numbers are the models as clusters count them. Traces have those of the 7821, 7970, 7975
// and 8851; the others are what the cluster's interfaces are said to use.
var numbers = map[string]int{
	"6901": 547, "6911": 548, "6921": 495, "6941": 496, "6945": 564, "6961": 497,
	"7811": 36213, "7821": 621, "7832": 36247, "7841": 622, "7861": 623,
	"7905": 20000, "7906": 369, "7911": 307, "7912": 30007, "7920": 30002, "7921": 365, "7925": 484, "7926": 577, "7931": 348,
	"7935": 9, "7936": 30019, "7937": 431, "7940": 8, "7941": 115, "7942": 434, "7945": 435, "7960": 7, "7961": 30018,
	"7962": 404, "7965": 436, "7970": 30006, "7971": 119, "7975": 437,
	"8811": 36217, "8821": 36216, "8831": 659, "8832": 36258, "8841": 683, "8845": 36224, "8851": 684, "8861": 685, "8865": 36225,
	"8941": 586, "8945": 585, "8961": 540, "9951": 537, "9971": 493,
}
