# Added to U-Boot's qemu_arm_defconfig.
# Its tool needs GnuTLS, and makes nothing that a board here starts from.
# CONFIG_TOOLS_MKEFICAPSULE is not set
# The commands that the flasher asks for.
CONFIG_CMD_LOADB=y
CONFIG_CMD_CRC32=y
CONFIG_CMD_FLASH=y
CONFIG_CMD_SAVEENV=y
CONFIG_CMD_TFTPBOOT=y
# A server need not be root: tftpdstp has its port.
CONFIG_TFTP_PORT=y
